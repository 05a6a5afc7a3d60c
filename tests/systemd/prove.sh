#!/usr/bin/env bash
# Boots a Debian of its own in an emulator, with systemd as process 1 and cgroups of version 2, and looks there at what
# needs them: the unit and the socket of conf/, and limits of services.  By hand and as root, not part of ./dev test: it takes some
# six minutes.  Needs debootstrap, qemu-system-x86 and cpio; nothing of this machine is touched but FOLDER.
#
#   tests/systemd/prove.sh build/release/portunus FOLDER
set -euo pipefail
program=$(realpath "$1") folder=$(realpath -m "$2")
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly PACKAGES=systemd,systemd-sysv,dbus,libuv1,libnghttp2-14,libssl3,libspdlog1.10,libfmt9,libyaml-0-2,libbrotli1,python3,curl,procps,iproute2

mkdir -p "$folder"
cd "$folder"
if [[ ! -e root/usr/bin/python3 ]]; then
  # shellcheck disable=SC2016
  source=$(apt-get indextargets --format '$(SITE)' 'Codename: bookworm' 'Created-By: Packages' | head -n1)
  debootstrap --variant=minbase --include="$PACKAGES" bookworm root "$source" >debootstrap.log
  image=$(apt-cache depends linux-image-amd64 | awk '/Depends/ { print $2; exit }')
  apt-get download -q "$image" 2>download.log
  dpkg -x "$image"_*.deb kernel
fi
install -D "$program" root/usr/local/bin/portunus
install -D -m 644 "$here/../../conf/portunus.service" root/etc/systemd/system/portunus.service
install -D -m 644 "$here/../../conf/portunus.socket" root/etc/systemd/system/portunus.socket
install -D -m 644 "$here/door.yaml" root/etc/portunus/portunus.yaml
install -D -m 644 "$here/limits.yaml" root/etc/portunus/limits.yaml
install -D -m 755 "$here/inside.sh" root/root/inside.sh
cat >root/etc/systemd/system/proof.service <<'UNIT'
[Unit]
After=basic.target dbus.service
[Service]
ExecStart=/root/inside.sh
UNIT
mkdir -p root/etc/systemd/system/multi-user.target.wants
ln -sf ../proof.service root/etc/systemd/system/multi-user.target.wants/proof.service
ln -sf /lib/systemd/systemd root/init
(cd root && find . -path ./var/cache/apt -prune -o -print | cpio -o -H newc --quiet | gzip -1) >initrd.gz

timeout 1200 qemu-system-x86_64 -accel tcg -cpu max -m 3072 -nographic -no-reboot -nic none \
  -kernel kernel/boot/vmlinuz-* -initrd initrd.gz \
  -append "console=ttyS0 panic=1 rdinit=/init quiet systemd.show_status=0" </dev/null | tee console.log | grep -aE '^(ok|BAD|####)'
grep -aq '^#### 0 failed' console.log
