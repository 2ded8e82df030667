package sqlstore_test

import (
	"testing"

	"github.com/gatehouse-auth/gatehouse/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }
