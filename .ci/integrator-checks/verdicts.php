<?php
// Whether the sample for PHP accepts tokens: reads one a line, and writes true or false for each.
require 'admitted.php';

set_error_handler(fn(int $level, string $text) => throw new ErrorException($text));
while (($token = fgets(STDIN)) !== false) {
    try {
        admitted(rtrim($token, "\n"));
        echo "true\n";
    } catch (Throwable) {
        echo "false\n";
    }
}
