package ui

import (
	"compress/gzip"
	"io"
	"net/http"
	"strings"
	"sync"
)

// compressed serves pages, scripts and downloads compressed to who accepts that. Streams of
// events are not: they would be held back.
//
// The length of a compressed page tells something of what it contains if others choose a
// part of it, such as the text of a search. Requests that another site makes a browser send,
// other than by a link that the user follows, are therefore answered as they are.
func compressed(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Add("Vary", "Accept-Encoding, Sec-Fetch-Site")
		if r.Method == http.MethodHead || r.URL.Path == "/events" || r.Header.Get("Range") != "" || !acceptsGzip(r) || foreign(r) {
			next.ServeHTTP(w, r)
			return
		}
		c := &compressor{ResponseWriter: w}
		defer c.end()
		next.ServeHTTP(c, r)
	})
}

func foreign(r *http.Request) bool {
	site := r.Header.Get("Sec-Fetch-Site")
	return site == "cross-site" || site == "same-site"
}

func acceptsGzip(r *http.Request) bool {
	for coding := range strings.SplitSeq(r.Header.Get("Accept-Encoding"), ",") {
		name, weight, weighted := strings.Cut(strings.ReplaceAll(coding, " ", ""), ";")
		if strings.EqualFold(name, "gzip") {
			return !weighted || strings.Trim(weight, "q=0.") != ""
		}
	}
	return false
}

var gzips = sync.Pool{New: func() any {
	zip, _ := gzip.NewWriterLevel(io.Discard, gzip.DefaultCompression)
	return zip
}}

// A compressor compresses what is written, if it has a body.
type compressor struct {
	http.ResponseWriter

	begun bool
	zip   *gzip.Writer // nil: as it is
}

// Unwrap is for [http.ResponseController].
func (c *compressor) Unwrap() http.ResponseWriter { return c.ResponseWriter }

func (c *compressor) WriteHeader(status int) {
	if c.begun = true; status == http.StatusOK || status >= 400 {
		header := c.Header()
		header.Del("Content-Length")
		header.Del("Accept-Ranges")
		header.Set("Content-Encoding", "gzip")
		c.zip = gzips.Get().(*gzip.Writer)
		c.zip.Reset(c.ResponseWriter)
	}
	c.ResponseWriter.WriteHeader(status)
}

func (c *compressor) Write(data []byte) (int, error) {
	if !c.begun {
		c.WriteHeader(http.StatusOK)
	}
	if c.zip == nil {
		return c.ResponseWriter.Write(data)
	}
	return c.zip.Write(data)
}

func (c *compressor) end() {
	if c.zip != nil {
		_ = c.zip.Close() // an error means that the browser has gone
		gzips.Put(c.zip)
		c.zip = nil
	}
}
