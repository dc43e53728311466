#!/bin/sh
# Finds ffmpeg, a Chromium, and Java with Maven for the tests; installs Debian's when it may. Without ffmpeg or
# Chromium it says what to do and fails; without Java the event log's contract meets a smaller broker, and says so.
need=""
command -v ffmpeg >/dev/null 2>&1 || need="ffmpeg"
command -v chromium >/dev/null 2>&1 || command -v chromium-browser >/dev/null 2>&1 || command -v google-chrome >/dev/null 2>&1 || need="$need chromium"
kafka=""
command -v java >/dev/null 2>&1 || kafka="default-jre-headless"
command -v mvn >/dev/null 2>&1 || kafka="$kafka maven"
[ -z "$need$kafka" ] && exit 0
if command -v apt-get >/dev/null 2>&1; then
    run=""
    [ "$(id -u)" = 0 ] || { sudo -n true 2>/dev/null && run="sudo -n"; } || run="no"
    if [ "$run" != no ]; then
        echo "Installing $need $kafka …"
        $run apt-get update -qq && DEBIAN_FRONTEND=noninteractive $run apt-get install -y -qq --no-install-recommends $need $kafka >/dev/null && exit 0
    fi
fi
[ -z "$kafka" ] || echo "Kafka itself is not tested without:$( for one in $kafka; do printf ' %s' "$one"; done). Debian: sudo apt install $kafka    macOS: brew install openjdk maven" >&2
[ -z "$need" ] && exit 0
echo "✗ The tests need:$( [ -n "$need" ] && echo " $need"). Debian: sudo apt install $need    macOS: brew install $need" >&2
exit 1
