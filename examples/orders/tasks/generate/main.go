// Command generate writes the TypeScript that the worker compiles against.
package main

import (
	"log"

	"github.com/gwadmin/gwadmin/examples/orders/tasks"
	"github.com/gwadmin/gwadmin/typescript"
)

func main() {
	if err := typescript.WriteFile("worker/src/payloads.d.ts", tasks.All, nil); err != nil {
		log.Fatal(err)
	}
}
