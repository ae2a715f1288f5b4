package console

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"net/http"
	"path"
)

//go:embed static/*.css static/*.js static/*.svg
var staticFiles embed.FS

const staticPath = Prefix + "/static/"

// staticVersions are hashes of the files, so that browsers may keep them for
// ever.
var staticVersions = func() map[string]string {
	out := map[string]string{}
	files, err := staticFiles.ReadDir("static")
	if err != nil {
		panic(err)
	}
	for _, f := range files {
		b, err := staticFiles.ReadFile(path.Join("static", f.Name()))
		if err != nil {
			panic(err)
		}
		sum := sha256.Sum256(b)
		out[f.Name()] = hex.EncodeToString(sum[:8])
	}
	return out
}()

// staticURL is where a file is, for templates.
func staticURL(name string) string { return staticPath + name + "?v=" + staticVersions[name] }

func serveStatic(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	version, ok := staticVersions[name]
	if !ok {
		http.NotFound(w, r)
		return
	}
	if r.URL.Query().Get("v") == version {
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	http.ServeFileFS(w, r, staticFiles, path.Join("static", name))
}
