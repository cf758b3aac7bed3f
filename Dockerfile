# syntax=docker/dockerfile:1
# One image for everything that Granary runs in a cluster; scripts/image.sh makes the same without Docker.
FROM rust:1.95-bookworm AS build
RUN apt-get update && apt-get install --yes --no-install-recommends cmake ca-certificates && rm -rf /var/lib/apt/lists/*
WORKDIR /granary
COPY . .
# A target that is named keeps the flags from what runs during the build, which cannot be static.
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/granary/target \
    host="$(rustc -vV | sed -n 's/^host: //p')" \
    && export RUSTFLAGS="-Ctarget-feature=+crt-static --remap-path-prefix=/usr/local/cargo=/cargo" CARGO_PROFILE_RELEASE_STRIP=symbols \
    && cargo build --release --locked --package granary --target "$host" \
    && mkdir -p /image/etc/ssl/certs /image/tmp && chmod 1777 /image/tmp \
    && cp /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/ \
    && cp "target/$host/release/granary" /image/

FROM scratch
COPY --from=build /image /
ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
USER 65532:65532
ENTRYPOINT ["/granary"]
