package secret

import (
	"errors"
	"fmt"
	"reflect"
	"unsafe"
)

// place returns a copy of the digest d whose object lies at the start of mem,
// which is arena memory, so that the hash state is at no moment on the heap. The
// object must hold no pointer, because the garbage collector does not look into
// mem; anything else is an error, and the caller keeps d.
func place(d digest, mem []byte) (digest, error) {
	v := reflect.ValueOf(d)
	if v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct {
		return nil, fmt.Errorf("digest is a %v, not a pointer to a struct", v.Kind())
	}
	t := v.Type().Elem()
	if !pointerFree(t) {
		return nil, errors.New("digest holds a pointer")
	}
	if t.Size() > uintptr(len(mem)) || uintptr(unsafe.Pointer(&mem[0]))%uintptr(t.Align()) != 0 {
		return nil, fmt.Errorf("digest of %d bytes does not fit", t.Size())
	}
	twin := reflect.NewAt(t, unsafe.Pointer(&mem[0]))
	twin.Elem().Set(v.Elem())
	placed, ok := twin.Interface().(digest)
	if !ok {
		return nil, errors.New("digest lost its methods")
	}
	return placed, nil
}

// pointerFree reports whether a value of type t is plain numbers throughout.
func pointerFree(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Bool, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return true
	case reflect.Array:
		return pointerFree(t.Elem())
	case reflect.Struct:
		for i := range t.NumField() {
			if !pointerFree(t.Field(i).Type) {
				return false
			}
		}
		return true
	default:
		return false
	}
}
