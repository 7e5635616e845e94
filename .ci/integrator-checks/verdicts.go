// Whether the sample for Go accepts tokens: reads one a line, and writes true or false for each.
package main

import (
	"bufio"
	"fmt"
	"os"
)

func main() {
	for tokens := bufio.NewScanner(os.Stdin); tokens.Scan(); {
		_, err := Admitted(tokens.Text())
		fmt.Println(err == nil)
	}
}
