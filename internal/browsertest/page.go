package browsertest

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"
)

// waitTime is how long a page may take to come, on a busy machine.
const waitTime = 30 * time.Second

// elementKey is the name under which WebDriver gives a reference to an element.
const elementKey = "element-6066-11e4-a52e-4f735466cecf"

// Open goes to a URL and waits until the page is there.
func (b *Browser) Open(url string) {
	b.tb.Helper()
	b.do(http.MethodPost, "/url", map[string]any{"url": url}, nil)
}

// Click clicks on the first element that fits a CSS selector, and waits until the page
// that follows is there.
func (b *Browser) Click(selector string) {
	b.tb.Helper()
	b.do(http.MethodPost, "/element/"+b.find(selector)+"/click", nil, nil)
}

// Text returns what the first element that fits a CSS selector shows.
func (b *Browser) Text(selector string) string {
	b.tb.Helper()
	var text string
	b.do(http.MethodGet, "/element/"+b.find(selector)+"/text", nil, &text)
	return text
}

// find returns the reference of an element.
func (b *Browser) find(selector string) string {
	b.tb.Helper()
	var element map[string]string
	b.do(http.MethodPost, "/element", map[string]any{"using": "css selector", "value": selector}, &element)
	return element[elementKey]
}

// Title returns the title of the page.
func (b *Browser) Title() (title string) {
	b.tb.Helper()
	b.do(http.MethodGet, "/title", nil, &title)
	return title
}

// Warning is the title of the page with which Chromium warns of a certificate.
const Warning = "Privacy error"

// Await waits until the page has a title. Where the browser warns of a certificate on the
// way there, it goes on, as a person does who takes the site for what it is.
func (b *Browser) Await(title string) {
	b.tb.Helper()
	last := ""
	for deadline := time.Now().Add(waitTime); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if last = b.Title(); last == title {
			return
		}
		// The link stands behind a button. Either may be gone by the time of the click.
		if last == Warning && b.try("#proceed-link") != nil {
			_ = b.try("#details-button")
		}
	}
	b.tb.Fatalf("browser: the page is still %q, want %q", last, title)
}

// try clicks on an element that may not be there.
func (b *Browser) try(selector string) error {
	var element map[string]string
	err := b.call(http.MethodPost, b.session+"/element", map[string]any{"using": "css selector", "value": selector}, &element)
	if err != nil {
		return err
	}
	return b.call(http.MethodPost, b.session+"/element/"+element[elementKey]+"/click", nil, nil)
}

// URL returns the address of the page.
func (b *Browser) URL() (url string) {
	b.tb.Helper()
	b.do(http.MethodGet, "/url", nil, &url)
	return url
}

// Style returns a computed CSS property of the first element that fits.
func (b *Browser) Style(selector, property string) (value string) {
	b.tb.Helper()
	b.do(http.MethodGet, "/element/"+b.find(selector)+"/css/"+property, nil, &value)
	return value
}

// Dark says whether pages are told that the person likes dark ones.
func (b *Browser) Dark(on bool) {
	b.tb.Helper()
	scheme := "light"
	if on {
		scheme = "dark"
	}
	b.do(http.MethodPost, "/goog/cdp/execute", map[string]any{"cmd": "Emulation.setEmulatedMedia", "params": map[string]any{
		"features": []map[string]string{{"name": "prefers-color-scheme", "value": scheme}},
	}}, nil)
}

// Run runs JavaScript as if by the page's own console, which no policy of the page
// stops, and reads what it returns into to.
func (b *Browser) Run(script string, to any) {
	b.tb.Helper()
	b.do(http.MethodPost, "/execute/sync", map[string]any{"script": script, "args": []any{}}, to)
}

// Screenshot writes what is seen into a file.
func (b *Browser) Screenshot(path string) {
	b.tb.Helper()
	var text string
	b.do(http.MethodGet, "/screenshot", nil, &text)
	png, err := base64.StdEncoding.DecodeString(text)
	if err == nil {
		err = os.WriteFile(path, png, 0o600)
	}
	if err != nil {
		b.tb.Fatalf("browser: taking a picture: %v", err)
	}
}

// Complaints returns what the browser has written to its console since the last call,
// such as what a Content-Security-Policy forbade.
func (b *Browser) Complaints() (lines []string) {
	b.tb.Helper()
	var entries []struct{ Level, Message string }
	b.do(http.MethodPost, "/se/log", map[string]any{"type": "browser"}, &entries)
	for _, e := range entries {
		lines = append(lines, e.Level+": "+e.Message)
	}
	return lines
}

// Requests returns the URLs that pages have asked the network for since the last call, in
// order and each once. Those of the browser itself, such as chrome://newtab, are left out.
func (b *Browser) Requests() (urls []string) {
	b.tb.Helper()
	var entries []struct{ Message string }
	b.do(http.MethodPost, "/se/log", map[string]any{"type": "performance"}, &entries)
	for _, e := range entries {
		var event struct {
			Message struct {
				Method string
				Params struct{ Request struct{ URL string } }
			}
		}
		if json.Unmarshal([]byte(e.Message), &event) != nil || event.Message.Method != "Network.requestWillBeSent" {
			continue
		}
		url := event.Message.Params.Request.URL
		scheme, _, _ := strings.Cut(url, ":")
		if !slices.Contains([]string{"data", "chrome", "chrome-untrusted", "about"}, scheme) && !slices.Contains(urls, url) {
			urls = append(urls, url)
		}
	}
	return urls
}
