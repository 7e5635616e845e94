# syntax=docker/dockerfile:1
# Fairline in a container: fairline, waiting-room, checkout and notifier, the certificates and the time zones;
# no shell, no package manager, not root. docker build -t fairline . && docker run -p 8080:8080 -v
# fairline:/data -e FAIRLINE_PUBLIC_URL=http://127.0.0.1:8080 fairline

FROM rust:1.94-bookworm AS build
WORKDIR /source
COPY . .
# Shown by fairline_build_info.
ARG FAIRLINE_COMMIT=unknown
# The builder keeps compiled crates, so that the next build compiles only what changed.
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/source/target,sharing=locked \
    cargo build --locked --profile dist -p standalone -p waiting-room -p checkout -p notifier \
    && install -D --strip -t /programs target/dist/fairline target/dist/waiting-room target/dist/checkout target/dist/notifier \
    && container/crates /programs

# Everything of the last stage, gathered where there is a shell. The programs need glibc and libgcc,
# and nothing else.
FROM debian:12-slim AS files
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates python3 tzdata && rm -rf /var/lib/apt/lists/*
COPY --from=build /programs/ /programs/
COPY container/ /container/
RUN /container/gather /programs /image \
    && /container/sbom /programs /image >/sbom.json \
    && install -D -m 644 /sbom.json /image/usr/share/sbom/fairline.cdx.json && mkdir /data

FROM scratch AS image
LABEL org.opencontainers.image.title="Fairline" \
      org.opencontainers.image.description="A virtual waiting room with a seat checkout behind it" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="scratch"
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
# Whether the process answers, of whichever program it is. Not whether it is ready: a scheduler that
# replaces unhealthy containers must not do so because Redis is away.
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s CMD ["/usr/local/bin/fairline", "--probe", "livez"]
ENTRYPOINT ["/usr/local/bin/fairline"]
