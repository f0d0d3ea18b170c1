# docker build -t imart-event-worker:v1 -f ./Dockerfile .
# docker run -d -v $PWD:/app/event-worker imart-event-worker:v1

FROM rust:1.95-slim-bookworm AS build
WORKDIR /src

# The allocator is built with it.
RUN apt-get update && apt-get install -y --no-install-recommends make && rm -rf /var/lib/apt/lists/*

# The dependencies first, around empty sources: this layer is built again only when a manifest changes.
# Cleaning our own packages makes cargo compile the real ones, even if their files are older than these.
COPY Cargo.toml Cargo.lock ./
COPY .cargo/config.toml .cargo/
COPY migration/Cargo.toml migration/
RUN mkdir -p src benches/backfill benches/core benches/import migration/src \
    && echo 'fn main() {}' | tee src/main.rs benches/backfill/main.rs benches/core/main.rs benches/import/main.rs >/dev/null \
    && touch src/lib.rs migration/src/lib.rs \
    && cargo build --release --locked --bin event-worker \
    && cargo clean --release --locked -p imart-event-worker -p migration \
    && rm -r src benches migration/src

COPY . .
RUN cargo build --release --locked --bin event-worker


FROM debian:bookworm-slim

# For https to the node and TLS to the database.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/*

COPY --from=build /src/target/release/event-worker /usr/local/bin/event-worker
COPY --chmod=755 docker/entrypoint.sh /usr/local/bin/docker-entrypoint.sh

# What the user mounts here hides this folder: .env is read from it; error.log and SQLite are written to it. The
# entrypoint runs the worker as the folder's owner. Without a mount, that is this unprivileged user.
WORKDIR /app/event-worker
RUN chown 10001:10001 .

# The API listens on 127.0.0.1 of the container. To publish it: -e API_LISTEN=0.0.0.0:8080 -p 127.0.0.1:8080:8080
# It is not set here, because the environment would beat the user's .env.
EXPOSE 8080

# Through the entrypoint too: the owner's files are read as the owner.
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 \
    CMD ["docker-entrypoint.sh", "status", "--healthy"]

ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["run"]
