package typescript_test

import (
	"encoding/json"
	"image"
	"log/slog"
	"math"
	"math/big"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gwadmin/gwadmin/admin"
	"github.com/gwadmin/gwadmin/typescript"
)

type (
	// Kinds has what encoding/json writes by itself. Fields whose JSON may be anything
	// have a name with any in it.
	Kinds struct {
		Bool     bool            `json:"bool"`
		Int      int             `json:"int"`
		Int64    int64           `json:"int64"`
		Uint8    uint8           `json:"uint8"`
		ID       ID              `json:"id"`
		Float32  float32         `json:"float32"`
		String   string          `json:"string"`
		Bytes    []byte          `json:"bytes"`
		Named    []Byte          `json:"named_bytes"`
		Time     time.Time       `json:"time"`
		Duration time.Duration   `json:"duration"`
		Raw      json.RawMessage `json:"any_raw"`
		Number   json.Number     `json:"number"`
		Big      *big.Int        `json:"big"`
		Any      any             `json:"any"`
		Reader   interface{ Read() }
		Inline   struct{ X, Y int } `json:"inline"`
		Empty    struct{}           `json:"empty"`
		Point    *Point             `json:"point"`
		Ignored  chan int           `json:"-"`
	}
	ID    uint64
	Byte  byte
	Point struct{ X, Y float64 }

	// Omitted has what may be left out, each with a value and without.
	Omitted struct {
		Pointer   *int            `json:"pointer,omitempty"`
		Inner     **int           `json:"inner,omitempty"`
		Slice     []int           `json:"slice,omitempty"`
		Map       map[string]int  `json:"map,omitempty"`
		Bytes     []byte          `json:"bytes,omitempty"`
		String    string          `json:"string,omitempty"`
		Bool      bool            `json:"bool,omitempty"`
		Struct    Point           `json:"struct,omitempty"` // which has no effect
		Time      time.Time       `json:"time,omitempty"`   // nor here
		Array     [1]int          `json:"array,omitempty"`  // nor here
		NoArray   [0]int          `json:"no_array,omitempty"`
		Any       any             `json:"any,omitempty"`
		ZeroTime  time.Time       `json:"zero_time,omitzero"`
		ZeroPoint Point           `json:"zero_point,omitzero"`
		ZeroSlice []int           `json:"zero_slice,omitzero"`
		ZeroMap   *map[string]int `json:"zero_map,omitzero"`
		Never     never           `json:"never_zero,omitzero"`
		Both      *string         `json:"both,omitempty,omitzero"`
	}
	never []int

	Quoted struct {
		Int     int64    `json:"int,string"`
		Float   *float64 `json:"float,string"`
		Bool    bool     `json:"bool,string,omitempty"`
		Text    string   `json:"text,string"`
		Left    *uint    `json:"left,string,omitempty"`
		Address Shout    `json:"shout,string"` // nor where a method writes it
	}

	Embedding struct {
		Base
		*Behind
		lower
		Hidden
		Fmt `json:"fmt"`
		Named
		ID string `json:"id"`
	}
	Base struct {
		ID   int `json:"id"`
		Same string
	}
	Hidden struct{ Same string }
	Behind struct {
		Inner *string
		Point Point `json:"behind"`
	}
	lower struct{ Low int }
	Fmt   struct{ Verb string }
	Named string

	Maps struct {
		Text    map[string]int
		Small   map[int8]*Point
		Large   map[ID][]string
		Address map[netip.Addr]map[string]bool
		Prices  map[Currency]float64
		Shouts  map[Shout]int
		Named   map[Named]struct{ A int }
		Any     map[string]any
	}

	Arrays struct {
		None    [0]int
		Pair    [2]string
		Maybe   [2]*int
		Many    [9]int
		Hash    [3]byte
		Matrix  [][]*float64
		Nested  [2][]Point
		Slices  []map[string][]int
		Structs []struct{ A int }
	}

	Node struct {
		Value    int             `json:"value"`
		Parent   *Node           `json:"parent"`
		Children []Node          `json:"children"`
		Named    map[string]Leaf `json:"named"`
	}
	Leaf  struct{ Node *Node }
	Tree  []Tree
	Dict  map[string]Dict
	Deep  []struct{ Next map[string]Deep }
	Trees struct {
		Tree Tree
		Dict Dict
		Deep *Deep `json:",omitempty"`
	}

	Page[T any] struct {
		Items []T `json:"items"`
		Next  *T  `json:"next"`
	}
	Pages struct {
		Points Page[Point]
		Maps   Page[map[string]*image.Point]
		Plain  Page[int]
		Two    Pair[Point, Page[struct{ A int }]]
	}
	Pair[A, B any] struct {
		A A
		B B
	}

	Described struct {
		Currency   Currency    `json:"currency"`
		Currencies []Currency  `json:"currencies"`
		Maybe      *Currency   `json:"maybe"`
		Omitted    Currency    `json:"omitted,omitempty"`
		Money      Money       `json:"money"`
		Prices     []Money     `json:"prices"`
		List       List        `json:"list"`
		ByPointer  *ByPointer  `json:"by_pointer"`
		Elements   []ByPointer `json:"elements"`
		Steps      Steps       `json:"steps"`
		Shout      *Shout      `json:"shout"`
		Level      slog.Level  `json:"level"`
		Wrapped    Wrapped     `json:"wrapped"`
		Promoted   Promoted    `json:"promoted"`
	}
	Currency  string
	Money     struct{ cents int64 }
	List      []int // which is written by its own method, where it is nil, too
	ByPointer struct{ Ignored int }
	Steps     []string // which is written by encoding/json
	Shout     string
	Wrapped   struct {
		Currency `json:"currency"`
		Amount   int
	}
	Promoted struct {
		Money
		Ignored int
	}

	// Names are those that others have, too.
	Names struct {
		Point     Point
		Image     image.Point
		Tasks     Tasks
		InitEvent InitEvent
		Record    Record
		Lower     point
	}
	Tasks     struct{ Value int }
	InitEvent struct{ Value int }
	Record    struct{ Value int }
	point     struct{ Value int }

	Keys struct {
		A int `json:"with space"`
		B int `json:"näme-$%/.~"`
		C int `json:"$dollar_9"`
		D int `json:"9digit"`
		E int `json:"constructor"`
	}
)

const (
	EUR Currency = "eur"
	USD Currency = `us"d`
)

func (Currency) TypeScript() string { return typescript.Union(EUR, USD) }

func (m Money) MarshalJSON() ([]byte, error) { return json.Marshal(map[string]int64{"cents": m.cents}) }
func (Money) TypeScript() string             { return "{ cents: number }" }

func (List) MarshalJSON() ([]byte, error) { return []byte(`"list"`), nil }
func (List) TypeScript() string           { return "string" }

func (*ByPointer) MarshalJSON() ([]byte, error) { return []byte(`true`), nil }
func (*ByPointer) TypeScript() string           { return "boolean" }

func (Steps) TypeScript() string { return `("a" | "b")[]` }

func (s Shout) MarshalText() ([]byte, error) { return []byte(strings.ToUpper(string(s))), nil }

func (never) IsZero() bool { return false }

// A sample is a task, and payloads of it.
type sample struct {
	task     admin.DeclaredTask
	payloads []string // as encoding/json writes them
}

func sampleOf[T any](tb testing.TB, identifier string, values ...T) sample {
	tb.Helper()
	s := sample{task: admin.NewTask[T](identifier, nil)}
	for _, value := range values {
		payload, err := json.Marshal(value)
		if err != nil {
			tb.Fatal(err)
		}
		s.payloads = append(s.payloads, string(payload))
	}
	return s
}

func samples(tb testing.TB) []sample {
	one, text, half := 1, "text\u2028", 0.5
	day := time.Date(2024, 2, 29, 12, 0, 0, 1, time.UTC)
	node := Node{Value: 1, Children: []Node{{Children: []Node{}}}, Named: map[string]Leaf{"a": {}, "b": {&Node{}}}}
	node.Children[0].Parent = &Node{Value: 2}
	return []sample{
		sampleOf(tb, "kinds", Kinds{}, Kinds{
			Bool: true, Int: -1, Int64: math.MinInt64, ID: math.MaxUint64, Float32: 1e30, String: "<é>", Bytes: []byte("é"), Named: []Byte{1}, Time: day,
			Duration: time.Second, Raw: json.RawMessage(`{"a":[1]}`), Number: "1e400", Big: new(big.Int).Lsh(big.NewInt(1), 100),
			Any: []any{1, "x", nil}, Point: &Point{1, 2},
		}),
		sampleOf(tb, "omitted", Omitted{}, Omitted{
			Pointer: new(0), Inner: new(*int), Slice: []int{1}, Map: map[string]int{"a": 1}, Bytes: []byte{0}, String: "a", Bool: true, Any: 1,
			ZeroTime: day, ZeroPoint: Point{X: 1}, ZeroSlice: []int{}, ZeroMap: new(map[string]int), Never: never{1}, Both: &text,
		}),
		sampleOf(tb, "quoted", Quoted{}, Quoted{Int: math.MaxInt64, Float: &half, Bool: true, Text: text, Left: new(uint), Address: "a"}),
		sampleOf(tb, "embedding", Embedding{}, Embedding{Behind: &Behind{}}, Embedding{Behind: &Behind{Inner: &text}, ID: "x", Named: "n"}),
		sampleOf(tb, "maps", Maps{}, Maps{
			Text: map[string]int{"": 1, "a b": 2}, Small: map[int8]*Point{-1: nil, 2: {}}, Large: map[ID][]string{1: nil, 1 << 52: {"x"}},
			Address: map[netip.Addr]map[string]bool{netip.MustParseAddr("::1"): {"a": true}}, Prices: map[Currency]float64{EUR: 1},
			Shouts: map[Shout]int{"a": 1}, Named: map[Named]struct{ A int }{"x": {1}}, Any: map[string]any{"any": 1},
		}),
		sampleOf(tb, "arrays", Arrays{}, Arrays{
			Maybe: [2]*int{nil, &one}, Matrix: [][]*float64{nil, {}, {&half, nil}}, Nested: [2][]Point{nil, {{}}},
			Slices: []map[string][]int{nil, {"a": nil, "b": {1}}}, Structs: []struct{ A int }{{1}},
		}),
		sampleOf(tb, "node", node),
		sampleOf(tb, "trees", Trees{}, Trees{Tree: Tree{nil, {}, {{}}}, Dict: Dict{"a": nil, "b": {"c": {}}}, Deep: &Deep{{}, {map[string]Deep{"a": {{}}}}}}),
		sampleOf(tb, "tree itself", Tree(nil), Tree{nil, {{}}}),
		sampleOf(tb, "pages", Pages{}, Pages{
			Points: Page[Point]{Items: []Point{{}}, Next: &Point{}}, Maps: Page[map[string]*image.Point]{Items: []map[string]*image.Point{nil, {"a": nil, "b": {}}}},
			Two: Pair[Point, Page[struct{ A int }]]{B: Page[struct{ A int }]{Items: []struct{ A int }{{1}}}},
		}),
		sampleOf(tb, "described", Described{Currency: EUR, Omitted: USD, Wrapped: Wrapped{Currency: EUR}}, Described{
			Currency: USD, Currencies: []Currency{EUR, USD}, Maybe: new(EUR), Money: Money{1}, Prices: []Money{{}}, List: List{1}, ByPointer: &ByPointer{},
			Elements: []ByPointer{{}}, Steps: Steps{"a", "b"}, Shout: new(Shout("a")), Level: slog.LevelWarn, Wrapped: Wrapped{USD, 1}, Promoted: Promoted{Ignored: 1},
		}),
		sampleOf(tb, "names", Names{Point: Point{0.5, 1}, Image: image.Point{X: 1}}),
		sampleOf(tb, "keys", Keys{1, 2, 3, 4, 5}),
		sampleOf(tb, "pointer", nil, &Point{}),
		sampleOf(tb, "list", nil, []*Point{nil, {}}),
		sampleOf(tb, "map", nil, map[string][]int{"a": nil}),
		sampleOf(tb, "text", "", text),
		sampleOf(tb, "number", 0, -1),
		sampleOf(tb, "flag", true, false),
		sampleOf(tb, "empty", struct{}{}),
		sampleOf(tb, "any", any(nil), any(1)),
		sampleOf(tb, "any:raw", json.RawMessage(`{"a":1}`)),
		sampleOf(tb, "odd \"identifier\"\n\u2028☃<", Point{}),
	}
}

var options = &typescript.Options{Types: map[reflect.Type]string{reflect.TypeFor[slog.Level](): `"DEBUG" | "INFO" | "WARN" | "ERROR"`}}

func tasksOf(samples []sample) []admin.DeclaredTask {
	tasks := make([]admin.DeclaredTask, len(samples))
	for i, s := range samples {
		tasks[i] = s.task
	}
	return tasks
}
