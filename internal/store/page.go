package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math"
	"os"
)

// The layout of a bbolt file, version 2. Numbers are in the order of the machine.
const (
	pageHeader  = 16 // id 8, flags 2, count 2, overflow 4
	element     = 16 // branch: position 4, key size 4, page 8; leaf: flags 4, position 4, key size 4, value size 4
	metaSize    = 64
	metaMagic   = 0xED0CDAED
	branchPage  = 0x01
	leafPage    = 0x02
	inBucket    = 0x01 // flag of a leaf element whose value is a bucket: root page 8, sequence 8
	bucketSize  = 16
	deepestPage = 64
	largestPage = 1 << 30 // bytes, with its overflow
)

var order = binary.NativeEndian

// A pageFile is a bbolt file whose pages are looked at one by one. bbolt itself walks the same pages when it opens the
// file, in a goroutine of its own, where a page that it does not expect ends the program.
type pageFile struct {
	file  io.ReaderAt
	size  int // of a page
	pages uint64
	seen  []uint64 // a bit for each page
	bufs  [][]byte // one for each level
}

// checkPages returns what is wrong with the structure of a bbolt file. The contents of its values are not looked at.
func checkPages(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil || fi.Size() == 0 { // bbolt makes a new one of it
		return err
	}
	p := &pageFile{file: f}
	root, err := p.meta(fi.Size())
	if err != nil {
		return err
	}
	return p.page(root, 0, nil, nil)
}

// meta reads the two meta pages and returns the root of the newest that is whole.
func (p *pageFile) meta(length int64) (root uint64, err error) {
	var newest uint64
	found := false
	size := os.Getpagesize()
	for n := range 2 {
		b := make([]byte, pageHeader+metaSize)
		if _, err := p.file.ReadAt(b, int64(n*size)); err != nil {
			continue
		}
		m := b[pageHeader:]
		sum := fnv.New64a()
		sum.Write(m[:metaSize-8])
		if order.Uint32(m) != metaMagic || order.Uint32(m[4:]) != 2 || order.Uint64(m[metaSize-8:]) != sum.Sum64() {
			continue
		}
		if id := order.Uint64(m[48:]); !found || id >= newest {
			found, newest = true, id
			root, p.pages = order.Uint64(m[16:]), order.Uint64(m[40:])
			p.size = int(order.Uint32(m[8:]))
		}
		size = max(size, int(order.Uint32(m[8:])))
	}
	switch {
	case !found:
		return 0, errors.New("neither of its two first pages is whole")
	case p.size < 1024 || p.size > 1<<16 || p.pages > math.MaxInt64/uint64(p.size):
		return 0, fmt.Errorf("it says that it has %d pages of %d bytes", p.pages, p.size)
	case int64(p.pages)*int64(p.size) > length:
		return 0, fmt.Errorf("it is cut short: %d of %d bytes are there", length, int64(p.pages)*int64(p.size))
	}
	p.seen = make([]uint64, p.pages/64+1)
	return root, nil
}

// take marks the pages as used. No page is used twice.
func (p *pageFile) take(id, count uint64) error {
	if id < 2 || id >= p.pages || count > p.pages-id {
		return fmt.Errorf("page %d is not in the file", id)
	}
	for n := id; n < id+count; n++ {
		if p.seen[n/64]&(1<<(n%64)) != 0 {
			return fmt.Errorf("page %d is used twice", n)
		}
		p.seen[n/64] |= 1 << (n % 64)
	}
	return nil
}

// read returns a page with its overflow. What it returns holds until another page of the level is read.
func (p *pageFile) read(id uint64, level int) ([]byte, error) {
	var head [pageHeader]byte
	if id >= p.pages {
		return nil, fmt.Errorf("page %d is not in the file", id)
	}
	if _, err := p.file.ReadAt(head[:], int64(id)*int64(p.size)); err != nil {
		return nil, fmt.Errorf("page %d: %w", id, err)
	}
	if got := order.Uint64(head[:]); got != id {
		return nil, fmt.Errorf("page %d says that it is page %d", id, got)
	}
	count := uint64(order.Uint32(head[12:])) + 1
	if err := p.take(id, count); err != nil {
		return nil, err
	}
	size := count * uint64(p.size)
	if size > largestPage {
		return nil, fmt.Errorf("page %d says that it has %d bytes", id, size)
	}
	for len(p.bufs) <= level {
		p.bufs = append(p.bufs, nil)
	}
	if uint64(cap(p.bufs[level])) < size {
		p.bufs[level] = make([]byte, size)
	}
	b := p.bufs[level][:size]
	if _, err := p.file.ReadAt(b, int64(id)*int64(p.size)); err != nil {
		return nil, fmt.Errorf("page %d: %w", id, err)
	}
	return b, nil
}

// page looks at a page and all below it, whose keys are from low on and before high; nil for no bound.
func (p *pageFile) page(id uint64, level int, low, high []byte) error {
	if level > deepestPage {
		return fmt.Errorf("page %d is %d levels deep", id, level)
	}
	b, err := p.read(id, level)
	if err != nil {
		return pageError{err}
	}
	switch order.Uint16(b[8:]) {
	case leafPage:
		err = p.leaf(b, level, low, high)
	case branchPage:
		err = p.branch(b, level, low, high)
	default:
		err = fmt.Errorf("is of no kind that belongs there (%#x)", order.Uint16(b[8:]))
	}
	var below pageError
	if err == nil || errors.As(err, &below) {
		return err
	}
	return pageError{fmt.Errorf("page %d %w", id, err)}
}

// A pageError names its page.
type pageError struct{ error }

// part returns a part of a page.
func part(b []byte, at, size uint64) ([]byte, error) {
	if at > uint64(len(b)) || size > uint64(len(b))-at {
		return nil, errors.New("holds an entry that reaches beyond its end")
	}
	return b[at : at+size], nil
}

func entries(b []byte) (int, error) {
	n := int(order.Uint16(b[10:]))
	_, err := part(b, pageHeader, uint64(n)*element)
	return n, err
}

var errOrder = errors.New("holds keys in a wrong order")

func (p *pageFile) branch(b []byte, level int, low, high []byte) error {
	n, err := entries(b)
	if err != nil {
		return err
	}
	if n == 0 {
		return errors.New("has nothing below it")
	}
	keys := make([][]byte, n)
	for i := range n {
		at := uint64(pageHeader + i*element)
		if keys[i], err = part(b, at+uint64(order.Uint32(b[at:])), uint64(order.Uint32(b[at+4:]))); err != nil {
			return err
		}
		if i > 0 && bytes.Compare(keys[i-1], keys[i]) >= 0 || i == 0 && low != nil && bytes.Compare(keys[0], low) < 0 || high != nil && bytes.Compare(keys[i], high) >= 0 {
			return errOrder
		}
	}
	for i := range n {
		next := high
		if i+1 < n {
			next = keys[i+1]
		}
		if err := p.page(order.Uint64(b[pageHeader+i*element+8:]), level+1, keys[i], next); err != nil {
			return err
		}
	}
	return nil
}

func (p *pageFile) leaf(b []byte, level int, low, high []byte) error {
	n, err := entries(b)
	if err != nil {
		return err
	}
	var before []byte
	for i := range n {
		at := uint64(pageHeader + i*element)
		keySize, valueSize := uint64(order.Uint32(b[at+8:])), uint64(order.Uint32(b[at+12:]))
		both, err := part(b, at+uint64(order.Uint32(b[at+4:])), keySize+valueSize)
		if err != nil {
			return err
		}
		key, value := both[:keySize], both[keySize:]
		if i > 0 && bytes.Compare(before, key) >= 0 || i == 0 && low != nil && bytes.Compare(key, low) < 0 || high != nil && bytes.Compare(key, high) >= 0 {
			return errOrder
		}
		before = key
		if order.Uint32(b[at:])&inBucket != 0 {
			if err := p.bucket(value, level); err != nil {
				return err
			}
		}
	}
	return nil
}

// bucket looks at a bucket: its root is a page of its own, or a small leaf within the value.
func (p *pageFile) bucket(value []byte, level int) error {
	if len(value) < bucketSize {
		return errors.New("holds a bucket that is too short")
	}
	if root := order.Uint64(value); root != 0 {
		return p.page(root, level+1, nil, nil)
	}
	inner := value[bucketSize:]
	if len(inner) < pageHeader || order.Uint16(inner[8:]) != leafPage || level > deepestPage {
		return errors.New("holds a bucket that is none")
	}
	return p.leaf(inner, level+1, nil, nil)
}
