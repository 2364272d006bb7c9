// Package paylist reads lists of payments, such as the bill files that JD gives a merchant: CSV as spreadsheets and payment platforms
// write it. It is pure: no orders, no database.
package paylist

import (
	"archive/zip"
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"path"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/simplifiedchinese"

	"jdpay-listener/internal/lang"
)

const (
	// maxRecord bounds a line, with the line breaks that are inside of quotes.
	maxRecord = 64 << 10
	// maxText bounds what a compressed file may become: some 10 million rows.
	maxText = 2 << 30
)

// Refusal is the error of a file that cannot be used: it says where and what to do.
type Refusal struct{ lang.Message }

// Error returns the English text.
func (r *Refusal) Error() string { return r.String() }

func refuse(line int, problem lang.Message) error {
	return &Refusal{lang.M("line %d: %s", line, problem)}
}

// open returns the text of a file: of a plain one, of one that gzip has packed, or of the one CSV file of a zip archive.
func open(file io.ReaderAt, size int64) (io.Reader, error) {
	head := make([]byte, 4)
	n, err := file.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	switch head = head[:n]; {
	case n == 0:
		return nil, &Refusal{lang.M("the file is empty")}
	case bytes.HasPrefix(head, []byte("PK\x03\x04")):
		return openZip(file, size)
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		text, err := gzip.NewReader(io.NewSectionReader(file, 0, size))
		if err != nil {
			return nil, &Refusal{lang.M("the file looks like gzip and is not: %s", err)}
		}
		return text, nil
	case bytes.HasPrefix(head, []byte{0xff, 0xfe}), bytes.HasPrefix(head, []byte{0xfe, 0xff}):
		return nil, &Refusal{lang.M("the file is UTF-16: save it as CSV UTF-8")}
	}
	return io.NewSectionReader(file, 0, size), nil
}

func openZip(file io.ReaderAt, size int64) (io.Reader, error) {
	archive, err := zip.NewReader(file, size)
	if err != nil {
		return nil, &Refusal{lang.M("the zip archive is damaged: %s", err)}
	}
	if len(archive.File) != 1 {
		return nil, &Refusal{lang.M("the zip archive has %d entries: give one with a single CSV file", len(archive.File))}
	}
	entry := archive.File[0]
	if entry.Name != path.Base(entry.Name) || strings.ContainsAny(entry.Name, `\:`) || entry.FileInfo().IsDir() {
		return nil, &Refusal{lang.M("the zip archive's entry %q is not a plain file: give an archive with a single CSV file", entry.Name)}
	}
	text, err := entry.Open()
	if err != nil {
		return nil, &Refusal{lang.M("the zip archive is damaged: %s", err)}
	}
	return text, nil
}

// records reads a text record by record, in UTF-8.
type records struct {
	text *bufio.Reader
	line int // of the record's begin
	next int
	read int64
}

func newRecords(text io.Reader) *records {
	return &records{text: bufio.NewReaderSize(text, maxRecord), next: 1}
}

// record returns the next record, without its line break; io.EOF after the last.
func (r *records) record() (string, error) {
	r.line = r.next
	var record []byte
	for {
		part, err := r.text.ReadSlice('\n')
		r.read += int64(len(part))
		switch {
		case errors.Is(err, bufio.ErrBufferFull), len(record)+len(part) > maxRecord:
			return "", refuse(r.line, lang.M("a row of more than 64 KiB, or a quote that is not closed: this is no list of payments"))
		case err != nil && !errors.Is(err, io.EOF):
			return "", refuse(r.line, lang.M("the file cannot be read: %s", err))
		case r.read > maxText:
			return "", refuse(r.line, lang.M("the file unpacks to more than 2 GiB: split it"))
		}
		r.next++
		record = append(record, part...)
		if err != nil && len(record) == 0 {
			return "", io.EOF
		}
		if err != nil || bytes.Count(record, []byte{'"'})%2 == 0 {
			break // else a quoted field goes on in the next line
		}
	}
	if bytes.IndexByte(record, 0) >= 0 {
		return "", refuse(r.line, lang.M("a NUL byte: this is no text; save it as CSV UTF-8"))
	}
	if !utf8.Valid(record) { // no byte of GBK's and GB18030's characters is a separator, a quote or a line break
		decoded, err := simplifiedchinese.GB18030.NewDecoder().Bytes(record)
		if err != nil {
			return "", refuse(r.line, lang.M("neither UTF-8 nor GB18030: save it as CSV UTF-8"))
		}
		record = decoded
	}
	if r.line == 1 {
		record = bytes.TrimPrefix(record, []byte("\ufeff"))
	}
	return strings.TrimRight(string(record), "\r\n"), nil
}

// split returns the cells of a record. A quote inside of a cell that does not begin with one is a character like others, but what stands
// between two of them is one cell: ="a,b".
func split(record string, separator byte) (cells []string) {
	begin, quoted := 0, false
	for i := 0; i < len(record); i++ {
		switch {
		case record[i] == '"':
			quoted = !quoted
		case record[i] == separator && !quoted:
			cells = append(cells, record[begin:i])
			begin = i + 1
		}
	}
	return append(cells, record[begin:])
}

// blanks are what spreadsheets and platforms put around a cell's text.
const blanks = " \t\r\n\u00a0\u3000\ufeff"

// clean returns a cell's text: without blanks, quotes, the form of a formula ="text" and a leading backtick or apostrophe.
func clean(cell string) string {
	cell = strings.Trim(cell, blanks)
	if len(cell) >= 2 && cell[0] == '"' && cell[len(cell)-1] == '"' {
		cell = strings.Trim(strings.ReplaceAll(cell[1:len(cell)-1], `""`, `"`), blanks)
	}
	if strings.HasPrefix(cell, `="`) && strings.HasSuffix(cell, `"`) && len(cell) >= 3 {
		cell = cell[2 : len(cell)-1]
	}
	return strings.Trim(strings.TrimLeft(cell, "`'"), blanks)
}
