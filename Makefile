# make test: everything, on a fresh machine, as root. make pictures: the README's pictures. make figures: the figures of docs/performance.md.
.PHONY: test pictures figures

test:
	@bash .ci/test

pictures:
	@bash docs/pictures.sh

figures:
	@bash docs/figures.sh
