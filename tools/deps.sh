#!/bin/sh
# Finds ffmpeg and a Chromium for the tests; installs Debian's when it may, else says what to do and fails.
need=""
command -v ffmpeg >/dev/null 2>&1 || need="ffmpeg"
command -v chromium >/dev/null 2>&1 || command -v chromium-browser >/dev/null 2>&1 || command -v google-chrome >/dev/null 2>&1 || need="$need chromium"
[ -z "$need" ] && exit 0
if command -v apt-get >/dev/null 2>&1; then
    run=""
    [ "$(id -u)" = 0 ] || { sudo -n true 2>/dev/null && run="sudo -n"; } || run="no"
    if [ "$run" != no ]; then
        echo "Installing $need …"
        $run apt-get update -qq && DEBIAN_FRONTEND=noninteractive $run apt-get install -y -qq --no-install-recommends $need >/dev/null && exit 0
    fi
fi
echo "✗ The tests need:$( [ -n "$need" ] && echo " $need"). Debian: sudo apt install $need    macOS: brew install $need" >&2
exit 1
