//go:build linux

package process

import (
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

func (h *host) unassign(id driver.MachineID, address string) {
	h.mu.Lock()
	defer h.mu.Unlock()
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
