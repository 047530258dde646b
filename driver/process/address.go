//go:build linux

package process

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"

	"github.com/troupe-dev/troupe/driver"
)

// assign chooses the machine's address and notes it down: the wished one if it is free, else the first free one of a
// row that is derived from the id. Addresses of folders that other servers of this host keep show by their claims.
func (h *host) assign(id driver.MachineID, wish string) (string, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if a := h.told[id]; a != "" {
		return a, nil
	}
	free := func(address string) bool {
		if _, taken := h.addresses[address]; taken {
			return false
		}
		c, err := claim(address)
		if err != nil {
			return false
		}
		c.Close()
		h.addresses[address] = id
		return true
	}
	if a, err := netip.ParseAddr(wish); err == nil && a.Is4() && a.IsLoopback() && free(a.String()) {
		return a.String(), nil
	}
	for n := range uint32(1000) {
		if a := candidate(h.installation, id, n); free(a) {
			return a, nil
		}
	}
	return "", fmt.Errorf("no loopback address is free: %w", driver.ErrCapacity)
}

// Address tells the address of a machine, and keeps it for that machine if it is still to be made.
func (h *host) Address(ctx context.Context, req driver.Request) (string, error) {
	address, err := h.tellAddress(&req)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return "", fmt.Errorf("process: address of %s: %w", req.ID, err)
	}
	return address, nil
}

func (h *host) tellAddress(req *driver.Request) (string, error) {
	if err := checkName("a machine's id", string(req.ID)); err != nil {
		return "", err
	}
	defer h.ids.lock(req.ID)()
	if _, err := os.Stat(h.grave(req.ID)); err == nil {
		return "", fmt.Errorf("it was destroyed: %w", driver.ErrInvalid)
	}
	if p, err := h.folder(req.ID).plan(); err == nil && h.owns(p, nil) {
		return p.Address, nil
	}
	address, err := h.assign(req.ID, req.Address)
	if err == nil {
		h.mu.Lock()
		h.told[req.ID] = address
		h.mu.Unlock()
	}
	return address, err
}

// untell gives up what was told of a machine that is not made after all.
func (h *host) untell(id driver.MachineID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if a := h.told[id]; a != "" && h.addresses[a] == id {
		delete(h.addresses, a)
	}
	delete(h.told, id)
}

func (h *host) unassign(id driver.MachineID, address string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.told, id)
	if h.addresses[address] == id {
		delete(h.addresses, address)
	}
}

// candidate returns the nth address that suits the machine. 127.0.x.y is left to others, and no byte is 0 or 255.
func candidate(installation string, id driver.MachineID, n uint32) string {
	sum := sha256.Sum256(binary.BigEndian.AppendUint32([]byte(installation+"\x00"+string(id)+"\x00"), n))
	part := func(i int) byte { return byte(1 + binary.BigEndian.Uint16(sum[i:])%254) }
	return netip.AddrFrom4([4]byte{127, part(0), part(2), part(4)}).String()
}

// claim takes an address for as long as the returned file, or a copy of it, is open: a socket in the abstract
// name space, of which the kernel keeps one for each network name space, as it does with loopback addresses.
func claim(address string) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: "@troupe/" + address}); err != nil {
		unix.Close(fd)
		if errors.Is(err, unix.EADDRINUSE) {
			return nil, errors.New("another machine of this host has it")
		}
		return nil, err
	}
	return os.NewFile(uintptr(fd), "claim of "+address), nil
}
