package upstream

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/gwadmin/gwadmin/internal/cache"
)

// Fetch returns the directory of a release's npm package. If the release is none of
// [Versions], the first call on a machine installs it, without a lock file; the other
// functions of this package know it then. The version is an exact one, such as "0.19.0".
// Without node or npm the error is [ErrUnavailable].
func Fetch(ctx context.Context, version string) (string, error) {
	if !slices.Contains(Versions, version) {
		if err := fetch(ctx, version); err != nil {
			return "", fmt.Errorf("install graphile-worker %s from npm: %w", version, err)
		}
	}
	dir, err := packages(ctx, version)
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, "node_modules", packageName(version)), nil
}

func fetch(ctx context.Context, version string) error {
	base, err := cacheDir()
	if err != nil {
		return err
	}
	wanted := fmt.Appendf(nil, `{"private": true, "dependencies": {%q: "npm:graphile-worker@%s", "pg": "8"}}`, packageName(version), version)
	return cache.Make(ctx, fetchedDir(base, version), func(dir string) error { return cache.NPM(ctx, dir, wanted, nil) })
}

func fetchedDir(base, version string) string { return filepath.Join(base, "upstream-"+version) }

func packageName(version string) string { return "graphile-worker-" + version }
