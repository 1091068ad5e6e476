# For Docker, Podman or Buildah:
#
#   docker build --platform=linux/amd64 -t <tag> .
#
# --build-arg VERSION=… --build-arg REVISION=… set the labels. Otherwise the program
# takes both from git. Without an engine, `make image` writes an image with the same
# files as an archive. docs/guides/kubernetes.md compares the two.

FROM --platform=$BUILDPLATFORM golang:1.26.8 AS build
ARG TARGETOS=linux
ARG TARGETARCH
ARG VERSION
ARG REVISION
WORKDIR /src
COPY go.mod go.sum ./
COPY deploy/docker/image/go.mod deploy/docker/image/go.sum deploy/docker/image/
RUN go mod download && cd deploy/docker/image && go mod download
COPY . .
RUN cd deploy/docker/image && go run . roots >/ca-certificates.crt
RUN GOOS=$TARGETOS GOARCH=$TARGETARCH make build ${VERSION:+VERSION=$VERSION} ${REVISION:+REVISION=$REVISION}

FROM scratch
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="chrony-tracker" \
      org.opencontainers.image.description="How far off can this node's clock be right now?" \
      org.opencontainers.image.source="https://github.com/chrony-tracker/chrony-tracker" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
COPY --from=build /ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /src/bin/chrony-tracker /chrony-tracker
USER 65532:65532
EXPOSE 9123
ENTRYPOINT ["/chrony-tracker"]
