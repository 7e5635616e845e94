# make test: everything, on a fresh machine, as root.
# make test-long: drills that take minutes.
# make pictures: the README's pictures.
# make night: the pictures of docs/dashboards.md.
# make figures: the figures of docs/performance.md.
.PHONY: test test-long pictures night figures

test:
	@bash .ci/test

test-long:
	@bash .ci/test-long

pictures:
	@bash docs/pictures.sh

night:
	@bash docs/night.sh

figures:
	@bash docs/figures.sh
