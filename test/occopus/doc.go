// Package occopus tests Troupe as somebody meets it who comes with files of Occopus.
package occopus
