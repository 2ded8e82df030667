package admin

import (
	"bytes"
	"encoding/csv"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// formula reports whether a spreadsheet may take a cell for a formula, after what it leaves out in front.
func formula(cell string) bool {
	cell = strings.TrimLeftFunc(cell, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) || r == '"' || r == '`' })
	r := []rune(cell)
	return len(r) > 0 && slices.Contains([]rune("=+-@＝＋－＠−﹢﹣﹦﹫"), r[0])
}

// written returns a file with the cells in one line, read with a separator by a reader that takes quotes as it may.
func written(t *testing.T, cells ...string) string {
	t.Helper()
	var b bytes.Buffer
	f := newCSV(&b, "a", "b", "c")
	f.line(slices.Clone(cells)...)
	if err := f.flush(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// pieces are the cells that some spreadsheet may see: with the separator of its language, with quotes read or not.
func pieces(t *testing.T, file string) (all []string) {
	t.Helper()
	for _, comma := range []rune{',', ';', '\t', '|'} {
		for _, lazy := range []bool{false, true} {
			r := csv.NewReader(strings.NewReader(file))
			r.Comma, r.LazyQuotes, r.FieldsPerRecord = comma, lazy, -1
			rows, err := r.ReadAll()
			if err != nil && comma == ',' {
				t.Fatalf("%q cannot be read: %v", file, err)
			}
			for _, row := range rows {
				all = append(all, row...)
			}
		}
		all = append(all, strings.FieldsFunc(file, func(r rune) bool { return r == comma || r == '\r' || r == '\n' })...)
	}
	return all
}

// No cell of an export, and no part of one that some spreadsheet takes for a cell, begins as a formula does.
func TestNoPartOfAnExportIsAFormula(t *testing.T) {
	t.Parallel()
	for _, cell := range []string{
		"=1", "+1", "-1", "@x", "x;=1", "x,=1", "x\t=1", "x|=1", "x\r=1", "x\n=1", "x\r\n=1", `x";=1`, `x";"=1`, `";=1`, `"=1`, `'=1`, " =1", "\t=1", "\u00a0=1", "\u200b=1", "\x00=1", "\ufeff=1",
		"x; =1", `x; "=1`, "x;\u00a0+1", "x;;=1", ";=1", ",-1", "\r=1", "\n@1", "＝1", "x;＝1", "−1", `a;"=HYPERLINK(""http://evil.test"")"`, "x;\t \"'=1", "=1;=2,=3\t=4",
	} {
		file := written(t, "first", cell, "last")
		for _, piece := range pieces(t, file) {
			if formula(piece) {
				t.Errorf("%q is written as %q, where %q is a formula", cell, file, piece)
			}
		}
	}
	r := rand.New(rand.NewPCG(1, 2))
	parts := []rune("=+-@;,|\t\r\n\"' x\u00a0\u200b＝")
	for range 20_000 {
		var cells [3]string
		for i := range cells {
			for range r.IntN(7) {
				cells[i] += string(parts[r.IntN(len(parts))])
			}
		}
		file := written(t, cells[:]...)
		for _, piece := range pieces(t, file) {
			if formula(piece) {
				t.Fatalf("%q are written as %q, where %q is a formula", cells, file, piece)
			}
		}
	}
}

// What is no formula is in the file as it is, and every cell is in quotes.
func TestAnExportSaysWhatThereIs(t *testing.T) {
	t.Parallel()
	for _, cell := range []string{"", "Ada", "a;b", "a,b", `say "x"`, "two\nlines", "staff,ops", "k=v; k2=-1", "it's", "Jean-Luc", "a@b.test", "1 + 1"} {
		file := written(t, "first", cell, "last")
		rows, err := csv.NewReader(strings.NewReader(file)).ReadAll()
		if err != nil || len(rows) != 2 || rows[1][1] != cell {
			t.Errorf("%q is written as %q and read as %q, %v", cell, file, rows, err)
		}
		if !strings.HasSuffix(file, "\"last\"\r\n") || !strings.HasPrefix(file, "\"a\",\"b\",\"c\"\r\n\"first\",\"") {
			t.Errorf("%q is written as %q", cell, file)
		}
	}
}
