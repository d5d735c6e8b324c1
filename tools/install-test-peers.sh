#!/bin/sh
# Installs what the suites over real networks need on Debian: coturn, libnice with its introspection, SIP (registrar, phone,
# media proxy), the packet filter, and the npm packages of the peers that run under Node. Run as root; a second run does
# nothing. No service is started.
#
#   tools/install-test-peers.sh          everything
#   tools/install-test-peers.sh --check  only says what is missing; exit status 1 when something is
set -eu

PACKAGES="coturn gir1.2-nice-0.1 python3-gi nftables iproute2 procps hostname openssl kamailio baresip-core rtpengine-daemon"
NPM_PACKAGES="werift@0.24.4 node-datachannel@0.33.4 @roamhq/wrtc@0.10.0"
NODE_FOLDER="${ICEPATH_NODE_PEERS:-${XDG_CACHE_HOME:-$HOME/.cache}/icepath/peers}"
POLICY=/usr/sbin/policy-rc.d

missing_packages() {
    for package in $PACKAGES; do
        dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || echo "$package"
    done
    # Node may have come from elsewhere than Debian.
    command -v node >/dev/null 2>&1 || echo nodejs
    command -v npm >/dev/null 2>&1 || echo npm
}

missing_npm_packages() {
    for package in $NPM_PACKAGES; do
        manifest="$NODE_FOLDER/node_modules/${package%@*}/package.json"
        grep -q "\"version\": \"${package##*@}\"" "$manifest" 2>/dev/null || echo "$package"
    done
}

# While the packages are set up, this forbids their services to start.
forbid_services() {
    if [ ! -e "$POLICY" ]; then
        printf '#!/bin/sh\nexit 101\n' >"$POLICY"
        chmod +x "$POLICY"
        trap 'rm -f "$POLICY"' EXIT INT TERM
    fi
}

install_packages() {
    forbid_services
    export DEBIAN_FRONTEND=noninteractive
    apt-get -o DPkg::Lock::Timeout=300 -qq update
    # shellcheck disable=SC2086 # a list of words
    apt-get -o DPkg::Lock::Timeout=300 -qq install -y --no-install-recommends $1
    # Debian enables these at boot; the tests start their own.
    if command -v systemctl >/dev/null 2>&1; then
        systemctl disable coturn kamailio rtpengine-daemon >/dev/null 2>&1 || true
    fi
}

install_npm_packages() {
    mkdir -p "$NODE_FOLDER"
    [ -e "$NODE_FOLDER/package.json" ] || printf '{"private": true}\n' >"$NODE_FOLDER/package.json"
    # shellcheck disable=SC2086 # a list of words
    npm install --prefix "$NODE_FOLDER" --no-audit --no-fund --loglevel=error $NPM_PACKAGES
}

packages=$(missing_packages | tr '\n' ' ')
npm_packages=$(missing_npm_packages | tr '\n' ' ')
if [ "${1:-}" = --check ]; then
    echo "missing: ${packages}${npm_packages}"
    [ -z "$packages$npm_packages" ]
    exit
fi
[ -z "$packages" ] || install_packages "$packages"
[ -z "$npm_packages" ] || install_npm_packages
echo "peers are installed; npm packages in $NODE_FOLDER"
