// Package store is the contract.
package store

import _ "github.com/gatehouse-auth/gatehouse/internal/x" // want depguard
