package deploy

import (
	"os"
	"testing"

	"github.com/gwadmin/gwadmin/internal/gwadmincmd"
)

func TestMain(m *testing.M) { os.Exit(gwadmincmd.Main(m)) }
