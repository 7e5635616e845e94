# syntax=docker/dockerfile:1
# Fairline in a container: fairline, waiting-room and checkout, the certificates and the time zones;
# no shell, no package manager, not root. docker build -t fairline . && docker run -p 8080:8080 -v
# fairline:/data -e FAIRLINE_PUBLIC_URL=http://127.0.0.1:8080 fairline

FROM rust:1.94-bookworm AS build
WORKDIR /source
COPY . .
RUN cargo build --locked --profile dist -p standalone -p waiting-room -p checkout \
    && install -D -t /programs target/dist/fairline target/dist/waiting-room target/dist/checkout

# Everything of the last stage, gathered where there is a shell. The programs need glibc and libgcc,
# and nothing else.
FROM debian:12-slim AS files
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates tzdata && rm -rf /var/lib/apt/lists/*
COPY --from=build /programs/ /programs/
COPY container/gather /usr/local/bin/gather
RUN gather /programs /image && mkdir /data

FROM scratch AS image
LABEL org.opencontainers.image.title="Fairline" \
      org.opencontainers.image.description="A virtual waiting room with a seat checkout behind it" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=files /image/ /
COPY --from=files --chown=65532:65532 /data/ /data/
ENV PATH=/usr/local/bin \
    SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt \
    FAIRLINE_LISTEN=0.0.0.0:8080 \
    FAIRLINE_OPS_LISTEN=0.0.0.0:9464 \
    FAIRLINE_DATA=/data/fairline
USER 65532:65532
VOLUME /data
EXPOSE 8080 9464
ENTRYPOINT ["/usr/local/bin/fairline"]
