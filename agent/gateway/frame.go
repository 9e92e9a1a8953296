package gateway

import (
	"encoding/binary"
	"fmt"
	"io"
)

// A request is four numbers of four bytes, big endian (its own number, and the lengths
// of job, authorization and body) and then those three. An answer is two numbers (that
// of the request, and a length) and the answer.
const (
	requestHead = 16
	replyHead   = 8
)

// request is a job as it arrives.
type request struct {
	id                  uint32
	job                 Job
	authorization, body []byte
}

// clear wipes what may be secret.
func (q request) clear() {
	clear(q.authorization)
	clear(q.body)
}

// requestHeader returns the head of a request.
func requestHeader(id uint32, job, authorization, body int) []byte {
	b := binary.BigEndian.AppendUint32(nil, id)
	for _, n := range []int{job, authorization, body} {
		b = binary.BigEndian.AppendUint32(b, uint32(n)) // #nosec G115 -- checked by checkLengths
	}
	return b
}

func checkLengths(job, authorization, body int) error {
	if job < 2 || job > maxJob || authorization > maxAuthorization || body > maxBody {
		return fmt.Errorf("%w: lengths %d, %d, %d", errJob, job, authorization, body)
	}
	return nil
}

// readRequest reads one request. Nothing is allocated before its lengths are checked.
// The error is io.EOF where there is none any more.
func readRequest(r io.Reader) (request, error) {
	var head [requestHead]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return request{}, err
	}
	n := func(i int) int { return int(binary.BigEndian.Uint32(head[4*i:])) }
	if err := checkLengths(n(1), n(2), n(3)); err != nil {
		return request{}, err
	}
	q := request{id: binary.BigEndian.Uint32(head[:])}
	parts := make([]byte, n(1)+n(2)+n(3))
	if _, err := io.ReadFull(r, parts); err != nil {
		clear(parts)
		return request{}, fmt.Errorf("%w: %w", errJob, err)
	}
	q.authorization, q.body = parts[n(1):n(1)+n(2)], parts[n(1)+n(2):]
	err := decode(parts[:n(1)], &q.job)
	if err == nil {
		err = q.job.check()
	}
	if err != nil {
		q.clear()
		return request{}, err
	}
	return q, nil
}

// appendReply appends an answer to b.
func appendReply(b []byte, id uint32, a Answer) ([]byte, error) {
	text, err := encode(a)
	if err != nil {
		return nil, err
	}
	if len(text) > maxReply {
		return nil, fmt.Errorf("%w: an answer of %d bytes", errJob, len(text))
	}
	b = binary.BigEndian.AppendUint32(b, id)
	b = binary.BigEndian.AppendUint32(b, uint32(len(text))) // #nosec G115 -- just checked
	return append(b, text...), nil
}

// readReply reads one answer.
func readReply(r io.Reader) (uint32, Answer, error) {
	var head [replyHead]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, Answer{}, err
	}
	n := int(binary.BigEndian.Uint32(head[4:]))
	if n < 2 || n > maxReply {
		return 0, Answer{}, fmt.Errorf("%w: an answer of %d bytes", errJob, n)
	}
	text := make([]byte, n)
	if _, err := io.ReadFull(r, text); err != nil {
		return 0, Answer{}, fmt.Errorf("%w: %w", errJob, err)
	}
	var a Answer
	if err := decode(text, &a); err != nil {
		return 0, Answer{}, err
	}
	return binary.BigEndian.Uint32(head[:]), a, nil
}
