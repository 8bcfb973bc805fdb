# syntax=docker/dockerfile:1

FROM rust:1.95-slim-bookworm AS build
WORKDIR /src
COPY . .
# `dist` is slower to link and smaller to ship; --build-arg PROFILE=release builds faster. The caches outlive a change of the
# sources, so that dependencies are compiled once. What lies in a cache is not part of the image, hence the copy.
ARG PROFILE=dist
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --locked --package scoreboard --bin scoreboard --profile "$PROFILE" \
    && cp "target/$PROFILE/scoreboard" /scoreboard

FROM debian:bookworm-slim
# A volume that is made over it inherits its owner.
RUN install -d --owner=10001 --group=10001 --mode=0700 /data
# For TLS towards the database and Redis.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /scoreboard /usr/local/bin/
USER 10001:10001
ENV LISTEN_ADDR=0.0.0.0:8080 \
    DATA_DIR=/data \
    DATABASE_URL=sqlite:///data/scoreboard.db \
    LOG_FORMAT=json
VOLUME /data
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --start-interval=1s CMD ["scoreboard", "health"]
ENTRYPOINT ["scoreboard"]
CMD ["serve"]
