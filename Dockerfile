# syntax=docker/dockerfile:1
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG COMMIT=""
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.commit=$COMMIT" -o /deskbell . \
 && mkdir /data

# CA certificates, time zones and an unprivileged user; no shell. The only thing
# written is /data, so the container runs with --read-only.
FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /deskbell /deskbell
COPY --from=build /src/config.toml /etc/deskbell/config.toml
COPY --from=build --chown=nonroot:nonroot /data /data
WORKDIR /data
VOLUME /data
ENV DESKBELL_SERVER_LISTEN=0.0.0.0:8080
EXPOSE 8080
ENTRYPOINT ["/deskbell"]
CMD ["serve", "--config", "/etc/deskbell/config.toml"]
