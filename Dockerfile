# docker build -t jdpay-listener .
# docker run -v /etc/jdpay:/etc/jdpay:ro jdpay-listener run --config /etc/jdpay/appsettings.json
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG COMMIT=
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.commit=${COMMIT}" -o /jdpay-listener ./cmd/jdpay-listener

# Nothing but the program, its licences and the certificates of the public authorities: time zones are inside the program.
FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /jdpay-listener /jdpay-listener
COPY THIRD_PARTY_LICENSES /
USER 65532:65532
ENTRYPOINT ["/jdpay-listener"]
