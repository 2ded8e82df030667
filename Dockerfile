# Caddy with Gatehouse and the standard modules in an image of its own: one static binary, no shell, no root.
# docker build -t gatehouse . (or podman, or buildah); docs/install.md says how to run it.
ARG GO_IMAGE=golang:1.26

FROM ${GO_IMAGE} AS build
ARG TARGETOS=linux
ARG TARGETARCH
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
# Nothing of the machine that builds gets into the binary: no paths, no state of a checkout, no times.
RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH \
	go build -trimpath -buildvcs=false -ldflags='-s -w' -o /root-of-image/usr/bin/caddy ./cmd/caddy
RUN mkdir -p /root-of-image/etc/ssl/certs /root-of-image/etc/caddy /owned/data /owned/config \
	&& mkdir -m 1777 /root-of-image/tmp \
	&& chmod 0700 /owned/data /owned/config \
	&& cp /etc/ssl/certs/ca-certificates.crt /root-of-image/etc/ssl/certs/ \
	&& cp deploy/image/Caddyfile /root-of-image/etc/caddy/ \
	&& echo 'gatehouse:x:10001:10001:Gatehouse:/data:/sbin/nologin' >/root-of-image/etc/passwd \
	&& echo 'gatehouse:x:10001:' >/root-of-image/etc/group

FROM scratch
COPY --from=build /root-of-image/ /
# A named volume takes its owner from here.
COPY --from=build --chown=10001:10001 /owned/ /
ENV PATH=/usr/bin HOME=/data XDG_DATA_HOME=/data XDG_CONFIG_HOME=/config
USER 10001:10001
WORKDIR /data
EXPOSE 80 443 443/udp 8080
LABEL org.opencontainers.image.title="Gatehouse" \
	org.opencontainers.image.description="Caddy with Gatehouse, a login in front of any web app" \
	org.opencontainers.image.licenses="Apache-2.0"
# The gate itself is asked, and not only whether a port is open.
HEALTHCHECK --interval=15s --timeout=15s --start-period=60s \
	CMD ["caddy", "gatehouse", "healthcheck", "--config", "/etc/caddy/Caddyfile"]
CMD ["caddy", "run", "--config", "/etc/caddy/Caddyfile"]
