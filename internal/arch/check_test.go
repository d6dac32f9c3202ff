package arch

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
)

// rule is one line of the table of directions.
type rule struct {
	pkg          string   // relative to the module
	may          []string // the packages of ours that it may import
	standardOnly bool     // it may import no other module's either
	testSupport  bool     // only tests and test support may import it
}

// file is what check looks at in a source file.
type file struct {
	path    string
	pkg     string // folder, relative to the module
	test    bool
	syntax  *ast.File
	imports []string
	lines   int
}

// check returns what is wrong with the module in root, in the order of its
// files, and the packages that it looked at.
func check(root fs.FS, module string, rules []rule) (problems []string, seen map[string]bool, err error) {
	files, err := sources(root)
	if err != nil {
		return nil, nil, err
	}
	seen = map[string]bool{}
	for _, f := range files {
		if !seen[f.pkg] {
			seen[f.pkg] = true
			problems = append(problems, checkPackage(f, rules)...)
		}
		problems = append(problems, checkImports(f, module, rules)...)
		problems = append(problems, checkBody(f)...)
	}
	return problems, seen, nil
}

func sorted(set map[string]bool) []string { return slices.Sorted(maps.Keys(set)) }

// sources reads all Go files of the module, whatever their build constraints.
func sources(root fs.FS) ([]file, error) {
	var files []file
	err := fs.WalkDir(root, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if outside(root, p) {
				return fs.SkipDir
			}
			return nil
		}
		if path.Ext(p) != ".go" {
			return nil
		}
		f, err := read(root, p)
		if err != nil {
			return err
		}
		files = append(files, f)
		return nil
	})
	return files, err
}

// outside reports whether a folder is no part of the module, as the go
// command sees it.
func outside(root fs.FS, folder string) bool {
	if folder == "." {
		return false
	}
	name := path.Base(folder)
	if name == "testdata" || name == "vendor" || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") {
		return true
	}
	_, err := fs.Stat(root, path.Join(folder, "go.mod"))
	return err == nil
}

func read(root fs.FS, p string) (file, error) {
	text, err := fs.ReadFile(root, p)
	if err != nil {
		return file{}, err
	}
	syntax, err := parser.ParseFile(token.NewFileSet(), p, text, parser.SkipObjectResolution)
	if err != nil {
		return file{}, err
	}
	f := file{
		path: p, pkg: path.Dir(p), test: strings.HasSuffix(p, "_test.go"),
		syntax: syntax, lines: bytes.Count(text, []byte("\n")),
	}
	for _, spec := range syntax.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return file{}, fmt.Errorf("%s: import %s: %w", p, spec.Path.Value, err)
		}
		f.imports = append(f.imports, imported)
	}
	return f, nil
}

// matches reports whether a line's pattern fits a package.
func matches(pattern, pkg string) bool {
	if below, ok := strings.CutSuffix(pattern, "/..."); ok {
		return strings.HasPrefix(pkg, below+"/")
	}
	return pkg == pattern
}

// find returns the line for a package: the one that names it, else the first
// that fits.
func find(rules []rule, pkg string) (rule, bool) {
	if i := slices.IndexFunc(rules, func(r rule) bool { return r.pkg == pkg }); i >= 0 {
		return rules[i], true
	}
	if i := slices.IndexFunc(rules, func(r rule) bool { return matches(r.pkg, pkg) }); i >= 0 {
		return rules[i], true
	}
	return rule{}, false
}

// checkPackage checks what a package is called; f is its first file.
func checkPackage(f file, rules []rule) (problems []string) {
	if _, ok := find(rules, f.pkg); !ok {
		problems = append(problems, f.pkg+": has no place in the table of directions")
	}
	bad := []string{"util", "utils", "common", "model", "models", "helper", "helpers", "pkg"}
	for part := range strings.SplitSeq(f.pkg, "/") {
		if slices.Contains(bad, part) {
			problems = append(problems, fmt.Sprintf("%s: %q says nothing about what is in it", f.pkg, part))
		}
	}
	if name := strings.TrimSuffix(f.syntax.Name.Name, "_test"); slices.Contains(bad, name) {
		problems = append(problems, fmt.Sprintf("%s: package %s says nothing about what is in it", f.path, name))
	}
	return problems
}

// checkImports checks the imports of a file; those of tests are free, but for
// what the compiler refuses.
func checkImports(f file, module string, rules []rule) (problems []string) {
	r, known := find(rules, f.pkg)
	if f.test || !known {
		return nil
	}
	for _, imported := range f.imports {
		ours, ok := strings.CutPrefix(imported, module+"/")
		if !ok {
			if r.standardOnly && strings.Contains(strings.Split(imported, "/")[0], ".") {
				problems = append(problems, fmt.Sprintf("%s: imports %s, and may import the standard library alone", f.path, imported))
			}
			continue
		}
		if target, ok := find(rules, ours); ok && target.testSupport && !r.testSupport {
			problems = append(problems, fmt.Sprintf("%s: imports %s, which is for tests", f.path, ours))
		} else if !slices.ContainsFunc(r.may, func(pattern string) bool { return matches(pattern, ours) }) {
			problems = append(problems, fmt.Sprintf("%s: imports %s, and %s may not", f.path, ours, r.pkg))
		}
	}
	return problems
}

// checkBody checks what stands in a file.
func checkBody(f file) (problems []string) {
	if !f.test && f.lines > maxLines {
		problems = append(problems, fmt.Sprintf("%s: has %d lines, more than %d: it is more than one idea", f.path, f.lines, maxLines))
	}
	for _, d := range f.syntax.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
			problems = append(problems, f.path+": has a func init: what it sets up is state that nobody passed in")
		}
	}
	return problems
}
