package admin_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"math/rand"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"testing/quick"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/gwadmin/gwadmin/admin"
)

type (
	// rich has a field of each kind that encoding/json knows.
	rich struct {
		plain
		*Behind
		When   time.Time            `json:"when"`
		Since  time.Time            `json:"since,omitzero"`
		Hosts  map[netip.Addr]shout `json:"hosts"`
		Big    *big.Int             `json:"big"`
		Raw    json.RawMessage      `json:"raw"`
		Any    any                  `json:"any"`
		Number json.Number          `json:"number"`
	}
	// plain is a type that package quick can generate values of.
	plain struct {
		Bool   bool          `json:"bool"`
		Uint   uint64        `json:"uint,omitempty"`
		Text   string        `json:"text"`
		Bytes  []byte        `json:"bytes"`
		Items  []item        `json:"items"`
		Pair   [2]int        `json:"pair"`
		Counts map[int8]*int `json:"counts"`
		Deep   map[string][]map[string]item
		Quoted struct {
			Int   int64    `json:"int,string"`
			Float *float32 `json:"float,string"`
			Bool  bool     `json:"bool,string,omitempty"`
			Text  string   `json:"text,string"`
		} `json:"quoted"`
	}
	item struct {
		Name  string            `json:"name"`
		Price float64           `json:"price"`
		Tags  map[string]string `json:"tags"`
		Count *int8             `json:"count"`
		Next  *item             `json:"next,omitempty"`
	}
	Behind struct{ Inner, Outer string }
	shout  string
)

var errLower = errors.New("not in upper case")

func (s shout) MarshalText() ([]byte, error) { return []byte(strings.ToUpper(string(s))), nil }

func (s *shout) UnmarshalText(text []byte) error {
	if string(text) != strings.ToUpper(string(text)) {
		return fmt.Errorf("%s is %w", text, errLower)
	}
	*s = shout(text)
	return nil
}

var richTask = admin.NewTask[rich]("rich", nil)

// decodeRich decodes a payload of the task.
func decodeRich(payload []byte) (rich, error) {
	return richTask.Decode(&admin.Job{ID: 7, TaskIdentifier: "rich", Payload: payload})
}

var sameRich = gocmp.Options{
	gocmp.AllowUnexported(rich{}), gocmp.Comparer(func(x, y *big.Int) bool { return x == y || x != nil && y != nil && x.Cmp(y) == 0 }),
	gocmp.Comparer(func(x, y netip.Addr) bool { return x == y }),
}

// Decode reads the values that encoding/json writes.
func TestDecodeRoundTrip(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewSource(1))
	for range 300 {
		made, ok := quick.Value(reflect.TypeFor[plain](), random)
		if !ok {
			t.Fatal("package quick cannot make one")
		}
		want := rich{plain: made.Interface().(plain), Number: json.Number(fmt.Sprint(random.NormFloat64()))}
		if random.Intn(2) == 0 {
			want.Behind = &Behind{Inner: "a", Outer: "b"}
			want.When = time.Unix(random.Int63n(1e10), random.Int63n(1e9)).UTC()
			want.Since = want.When
			want.Hosts = map[netip.Addr]shout{netip.AddrFrom4([4]byte{10, 0, 0, byte(random.Intn(256))}): "A"}
			want.Big = new(big.Int).Exp(big.NewInt(random.Int63()), big.NewInt(3), nil)
			want.Any = map[string]any{"list": []any{nil, 1.5, "x", true}}
		}
		want.Raw = json.RawMessage(`{"kept":[1,null]}`)
		payload, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := decodeRich(payload)
		if err != nil {
			t.Fatalf("%v\n%s", err, payload)
		}
		if diff := gocmp.Diff(want, got, sameRich); diff != "" {
			t.Fatalf("-want +got\n%s", diff)
		}
	}
}

// An error has the field and its Go type, and no value of the payload, such as 424242 or
// "secret".
func TestDecodeErrors(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ payload, want string }{
		{`[424242]`, `payload: JSON array does not fit Go type admin_test.rich`},
		{`null`, `payload: JSON null does not fit Go type admin_test.rich`},
		{`{"bool":"secret"}`, `payload field bool: JSON string does not fit Go type bool`},
		{`{"bool":null}`, `payload field bool: JSON null does not fit Go type bool`},
		{`{"Bool":true}`, `payload field Bool: Go type admin_test.rich has no such field`},
		{`{"colour":"secret"}`, `payload field colour: Go type admin_test.rich has no such field`},
		{`{"text":"a","text":"secret"}`, `payload field text: there twice`},
		{`{"uint":-424242}`, `payload field uint: JSON number does not fit Go type uint64`},
		{`{"uint":424242e20}`, `payload field uint: JSON number does not fit Go type uint64`},
		{`{"bytes":"*secret*"}`, `payload field bytes: JSON string does not fit Go type []uint8`},
		{`{"items":{"secret":1}}`, `payload field items: JSON object does not fit Go type []admin_test.item`},
		{`{"items":[{"name":"a"},{"price":"secret"}]}`, `payload field items[1].price: JSON string does not fit Go type float64`},
		{`{"items":[{"next":{"next":{"size":424242}}}]}`, `payload field items[0].next.next.size: Go type admin_test.item has no such field`},
		{`{"items":[{"count":424242}]}`, `payload field items[0].count: JSON number does not fit Go type int8`},
		{`{"items":[null]}`, `payload field items[0]: JSON null does not fit Go type admin_test.item`},
		{`{"items":[{"tags":{"secret":424242}}]}`, `payload field items[0].tags[*]: JSON number does not fit Go type string`},
		{`{"pair":[1,2,424242]}`, `payload field pair: JSON array of 3 does not fit Go type [2]int`},
		{`{"pair":[1]}`, `payload field pair: JSON array of 1 does not fit Go type [2]int`},
		{`{"pair":null}`, `payload field pair: JSON null does not fit Go type [2]int`},
		{`{"counts":{"secret":1}}`, `payload field counts[*]: JSON key does not fit Go type int8`},
		{`{"counts":{"1":"secret"}}`, `payload field counts[*]: JSON string does not fit Go type int`},
		{`{"Deep":{"secret":[{"secret":{"name":424242}}]}}`, `payload field Deep[*][0][*].name: JSON number does not fit Go type string`},
		{`{"Deep":"secret"}`, `payload field Deep: JSON string does not fit Go type map[string][]map[string]admin_test.item`},
		{`{"quoted":{"int":424242}}`, `payload field quoted.int: JSON number does not fit Go type int64`},
		{`{"quoted":{"int":"secret"}}`, `payload field quoted.int: JSON string does not fit Go type int64`},
		{`{"quoted":{"int":null}}`, `payload field quoted.int: JSON null does not fit Go type int64`},
		{`{"quoted":{"int":"null"}}`, `payload field quoted.int: JSON string does not fit Go type int64`},
		{`{"quoted":{"float":"secret"}}`, `payload field quoted.float: JSON string does not fit Go type *float32`},
		{`{"when":"secret"}`, `payload field when: JSON string does not fit Go type time.Time`},
		{`{"when":null}`, `payload field when: JSON null does not fit Go type time.Time`},
		{`{"hosts":{"secret":"A"}}`, `payload field hosts[*]: JSON key does not fit Go type netip.Addr`},
		{`{"hosts":{"10.0.0.1":"secret"}}`, `payload field hosts[*]: JSON string does not fit Go type admin_test.shout`},
		{`{"hosts":{"10.0.0.1":424242}}`, `payload field hosts[*]: JSON number does not fit Go type *admin_test.shout`},
		{`{"big":"secret"}`, `payload field big: JSON string does not fit Go type big.Int`},
		{`{"number":"secret"}`, `payload field number: JSON string does not fit Go type json.Number`},
		{`{"any":424242e424242}`, `payload field any: JSON number does not fit Go type float64`},
		{`{"Inner":424242}`, `payload field Inner: JSON number does not fit Go type string`},
		{`{"a\nb":1}`, `payload field "a\nb": Go type admin_test.rich has no such field`},
		{`{"` + strings.Repeat("é", 101) + `":1}`, `payload field ` + strings.Repeat("é", 100) + `…: Go type admin_test.rich has no such field`},
		{`{} "secret"`, `payload: not one JSON value`},
		{`{"bool":secret}`, `payload: not one JSON value`},
		{``, `payload: not one JSON value`},
		{strings.Repeat(`[`, 10_001) + strings.Repeat(`]`, 10_001), `payload: not one JSON value`},
	} {
		_, err := decodeRich([]byte(tc.payload))
		if diff := gocmp.Diff(`decode job 7 of task "rich": `+tc.want, fmt.Sprint(err)); diff != "" {
			t.Errorf("%.100s: -want +got\n%s", tc.payload, diff)
		}
		for _, value := range []string{"secret", "424242"} {
			if strings.Contains(fmt.Sprint(err), value) {
				t.Errorf("%s: a value is in %v", tc.payload, err)
			}
		}
	}
}

// The cause is in the chain of the error.
func TestDecodeErrorIs(t *testing.T) {
	t.Parallel()
	_, err := decodeRich([]byte(`{"items":[{"count":424242}]}`))
	decode, _ := errors.AsType[*admin.DecodeError](err)
	cause, _ := errors.AsType[*json.UnmarshalTypeError](err)
	want := &admin.DecodeError{
		JobID: 7, TaskIdentifier: "rich", Field: "items[0].count", Type: reflect.TypeFor[int8](), Problem: "JSON number does not fit Go type int8",
		Err: &json.UnmarshalTypeError{Value: "number", Type: reflect.TypeFor[int8](), Field: "items[0].count"},
	}
	sameType := gocmp.Comparer(func(x, y reflect.Type) bool { return x == y })
	if diff := gocmp.Diff(want, decode, sameType); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if cause != want.Err && gocmp.Diff(want.Err, error(cause), sameType) != "" {
		t.Errorf("cause %#v", cause)
	}
	if _, err = decodeRich([]byte(`{"hosts":{"10.0.0.1":"a"}}`)); !errors.Is(err, errLower) {
		t.Errorf("%v does not wrap what UnmarshalText returned", err)
	}
	if _, err = decodeRich([]byte(`{"when":"a"}`)); !isA[*time.ParseError](err) {
		t.Errorf("%v does not wrap what time.Time returned", err)
	}
	if _, err = decodeRich([]byte(`{}{}`)); !isA[*json.SyntaxError](err) {
		t.Errorf("%v does not wrap what encoding/json returned", err)
	}
}

func isA[E error](err error) bool { _, ok := errors.AsType[E](err); return ok }

func TestDecodeOtherJobs(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		job  *admin.Job
		want string
	}{
		{nil, "job is nil"},
		{&admin.Job{ID: 7, TaskIdentifier: "poor", Payload: json.RawMessage("{}")}, `job 7 is of task "poor"`},
		{&admin.Job{ID: 7, TaskIdentifier: "rich"}, "job 7 has no payload: list it with PayloadBytes, or get it with GetJob"},
	} {
		_, err := richTask.Decode(tc.job)
		if want := `decode job of task "rich": invalid input: ` + tc.want; fmt.Sprint(err) != want || !errors.Is(err, admin.ErrInvalid) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// FuzzDecode checks that Decode reads no more than a strict encoding/json decoder, and reads
// the same values.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"bool":true,"uint":1,"text":"é","bytes":"AA==","items":[{"name":"a","price":-0.5e-3,"tags":null,"count":1,"next":{}}],"pair":[1,2]}`))
	f.Add([]byte(`{"counts":{"-1":null,"2":3},"Deep":{"":[{"x":{}},null]},"quoted":{"int":"-1","float":"1e3","bool":"true","text":"\"x\""},"Inner":"i"}`))
	f.Add([]byte(`{"when":"2024-02-29T12:00:00Z","hosts":{"::1":"A"},"big":12345678901234567890,"raw":[null],"any":{"a":[1]},"number":1e400}`))
	f.Add([]byte(` { "items" : [ ] , "quoted" : { "float" : null } , "raw" : null } `))
	f.Fuzz(func(t *testing.T, payload []byte) {
		got, err := decodeRich(payload)
		decoder := json.NewDecoder(bytes.NewReader(payload))
		decoder.DisallowUnknownFields()
		var want rich
		lenient := decoder.Decode(&want)
		if err != nil {
			if _, ok := errors.AsType[*admin.DecodeError](err); !ok && payload != nil {
				t.Fatalf("%s: %#v", payload, err)
			}
			return
		}
		if lenient != nil {
			t.Fatalf("%s: encoding/json refuses it: %v", payload, lenient)
		}
		if diff := gocmp.Diff(want, got, sameRich); diff != "" {
			t.Fatalf("%s: -encoding/json +got\n%s", payload, diff)
		}
		again, err := json.Marshal(got)
		if err != nil {
			return // such as a json.Number in a missing field
		}
		same, err := decodeRich(again)
		if err != nil {
			t.Fatalf("%s: %v", again, err)
		}
		if text, err := json.Marshal(same); string(text) != string(again) {
			t.Fatalf("%s was written again as %s, %v", again, text, err)
		}
	})
}
