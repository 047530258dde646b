package probe

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"

	"github.com/go-sql-driver/mysql"

	"github.com/troupe-dev/troupe/internal/service"
)

// database connects to a MySQL database and asks whether it is there.
func database(ctx context.Context, check *service.MySQL, target Target) error {
	address, err := mysqlAddress(check, target)
	if err != nil {
		return err
	}
	c := mysql.NewConfig()
	c.Net, c.Addr, c.DBName, c.User, c.Passwd = "tcp", address, check.Database, check.User, check.Password
	c.TLSConfig = "preferred" // certificates are not verified: instances mostly have their own
	c.Logger = &mysql.NopLogger{}
	connector, err := mysql.NewConnector(c)
	if err != nil {
		return fmt.Errorf("mysql %s: %w", address, err)
	}
	db := sql.OpenDB(connector)
	defer db.Close()
	db.SetMaxOpenConns(1)
	if err := db.PingContext(ctx); err != nil {
		return fmt.Errorf("mysql %s: %w", address, refusal(err))
	}
	return nil
}

func mysqlAddress(check *service.MySQL, target Target) (string, error) {
	port := check.Port
	if port == "" {
		port = "3306"
	}
	return target.reach(net.JoinHostPort(check.Host, port))
}

// refusal puts what the driver says of a server that answers nonsense, or nothing, into plain words.
func refusal(err error) error {
	if errors.Is(err, mysql.ErrInvalidConn) || errors.Is(err, mysql.ErrMalformPkt) {
		return errors.New("what listens there does not answer as MySQL does")
	}
	return cause(err)
}
