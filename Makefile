# make test: everything, on a fresh machine, as root.
# make test-long: drills that take minutes.
# make pictures: the README's pictures.
# make figures: the figures of docs/performance.md.
.PHONY: test test-long pictures figures

test:
	@bash .ci/test

test-long:
	@bash .ci/test-long

pictures:
	@bash docs/pictures.sh

figures:
	@bash docs/figures.sh
