package admin

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/gwadmin/gwadmin/db"
)

// A cursor is the position of the last job of a page.
type cursor struct {
	Sort   string  `json:"s"`
	ID     int64   `json:"i"`
	Time   *string `json:"t,omitempty"`
	Number *int32  `json:"n,omitempty"`
}

func newCursor(sort string, last *db.JobListRow) cursor {
	at := cursor{Sort: sort, ID: last.ID}
	switch SortKey(strings.TrimPrefix(sort, "-")) {
	case ByRunAt:
		at.Time = new(timeText(newRunAt(last.RunAt)))
	case ByCreatedAt:
		at.Time = new(timeText(newRunAt(last.CreatedAt)))
	case ByPriority:
		at.Number = new(int32(last.Priority))
	case ByAttempts:
		at.Number = new(int32(last.Attempts))
	}
	return at
}

// fits reports whether the cursor has exactly the values that its order needs.
func (c cursor) fits() bool {
	switch SortKey(strings.TrimPrefix(c.Sort, "-")) {
	case ByRunAt, ByCreatedAt:
		return c.Time != nil && isTimeText(*c.Time) && c.Number == nil
	case ByPriority, ByAttempts:
		return c.Time == nil && c.Number != nil
	}
	return c.Time == nil && c.Number == nil
}

// timeText returns the time in PostgreSQL's format, which has BC for years before 1.
func timeText(at RunAt) string {
	text := at.String()
	if year := at.Time.UTC().Year(); year < 1 {
		return fmt.Sprintf("%04d%s BC", 1-year, text[1+strings.IndexByte(text[1:], '-'):])
	}
	return text
}

// isTimeText reports whether timeText returns the text for a time that PostgreSQL can
// store.
func isTimeText(text string) bool {
	iso := text
	if date, isBC := strings.CutSuffix(text, " BC"); isBC {
		year, err := strconv.Atoi(date[:max(strings.IndexByte(date, '-'), 0)])
		if err != nil {
			return false
		}
		iso = time.Date(1-year, 1, 1, 0, 0, 0, 0, time.UTC).Format("2006") + date[strings.IndexByte(date, '-'):]
	}
	var at RunAt
	return at.UnmarshalText([]byte(iso)) == nil && timeText(at) == text &&
		(at.Infinity != pgtype.Finite || at.Time.Year() < 294277 && !at.Time.Before(time.Date(-4713, 11, 24, 0, 0, 0, 0, time.UTC)))
}

// String returns the cursor with a checksum, in base64.
func (c cursor) String() string {
	body, _ := json.Marshal(c) // never fails
	sum := crc32.ChecksumIEEE(body)
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(body, "%08x", sum))
}

func parseCursor(text string) (cursor, error) {
	var at cursor
	broken := errors.New("is not a cursor or was changed")
	whole, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(whole) < 8 {
		return at, broken
	}
	body, sum := whole[:len(whole)-8], whole[len(whole)-8:]
	if string(sum) != fmt.Sprintf("%08x", crc32.ChecksumIEEE(body)) || json.Unmarshal(body, &at) != nil || !at.fits() || at.String() != text {
		return at, broken
	}
	return at, nil
}
