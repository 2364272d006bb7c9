# make image, or: docker build -t jdpay-listener --build-arg VERSION=1.2.3 --build-arg COMMIT=$(git rev-parse --short HEAD) .
# docker run -v /etc/jdpay:/etc/jdpay:ro jdpay-listener run --config /etc/jdpay/appsettings.json
#
# Networks with mirrors: --build-arg GO_IMAGE=mirror.example/golang:1.26 --build-arg GOPROXY=https://…; HTTPS_PROXY and the like
# are known to docker, podman and buildah as build arguments without a word here.
# The full name: buildah and podman take no short one where no registry is configured.
ARG GO_IMAGE=docker.io/library/golang:1.26
FROM ${GO_IMAGE} AS build
ARG GOPROXY
ARG GOSUMDB
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=
ARG COMMIT=
RUN CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=${VERSION} -X main.commit=${COMMIT}" \
    -o /jdpay-listener ./cmd/jdpay-listener

# The stand-ins, for deploy/compose: --target sandbox. Not part of the daemon's image.
FROM build AS build-sandbox
RUN CGO_ENABLED=0 go build -trimpath -buildvcs=false -o /jdpay-sandbox ./cmd/jdpay-sandbox

FROM scratch AS sandbox
COPY --from=build-sandbox /jdpay-sandbox /
USER 65532:65532
ENTRYPOINT ["/jdpay-sandbox"]

# Nothing but the program, its licences and the certificates of the public authorities: time zones are inside the program.
FROM scratch
ARG VERSION=
ARG COMMIT=
LABEL org.opencontainers.image.title="jdpay-listener" \
      org.opencontainers.image.description="JD payment notifications from MNS to cabinets, JD and the books" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${COMMIT}"
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /jdpay-listener /
COPY THIRD_PARTY_LICENSES /
USER 65532:65532
# Probes, metrics and console, where Ops:Listen says so.
EXPOSE 9300
# Whether its loops make progress. What it needs may be down: restarting does not cure that. Kubernetes asks by itself.
HEALTHCHECK --interval=30s --timeout=10s --start-period=30s --retries=3 CMD ["/jdpay-listener", "probe"]
ENTRYPOINT ["/jdpay-listener"]
