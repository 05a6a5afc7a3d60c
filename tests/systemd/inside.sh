#!/usr/bin/env bash
# What prove.sh looks at, in there: one line on the console for each, and the machine is switched off.
exec >/dev/ttyS0 2>&1
failed=0
held() { if "${@:2}" >/dev/null 2>&1; then echo "ok   $1"; else echo "BAD  $1" && failed=$((failed + 1)); fi; }
not() { ! "$@"; }
# until_held SECONDS command...
until_held() {
  local i
  for ((i = 0; i < $1 * 5; ++i)); do
    if "${@:2}" >/dev/null 2>&1; then return 0; fi
    sleep 0.2
  done
  return 1
}
of_unit() { systemctl show -p "$1" --value portunus; }
answers() { [[ $(curl -s -m 60 -o /dev/null -w '%{http_code}' http://127.0.0.1/) == 200 ]]; }
says() { [[ $(of_unit StatusText) == *"$1"* ]]; }
restarts_are() { [[ $(of_unit NRestarts) == "$1" ]]; }

echo "#### the unit: $(systemctl --version | head -n1), $(stat -fc %T /sys/fs/cgroup)"
useradd --system --home /nonexistent --shell /usr/sbin/nologin portunus
held "starts, and is ready by then" systemctl start portunus
held "says what runs" says "generation 1: 1 sites, 1 pools"
held "answers" until_held 60 answers
held "reloads" systemctl reload portunus
held "says so" says "generation 2"
cp /etc/portunus/portunus.yaml /root/right.yaml
echo "sites: [" >/etc/portunus/portunus.yaml
held "a reload of a wrong file fails" not systemctl reload portunus
held "says so, and runs on" says "the last reload was refused"
cp /root/right.yaml /etc/portunus/portunus.yaml
held "reloads again" systemctl reload portunus
supervisor=$(of_unit MainPID)
proxy=$(pgrep -P "$supervisor" -x portunus | head -n1)
kill -KILL "$proxy"
held "answers after its proxy was killed" answers
held "without systemd's help" restarts_are 0
proxy=$(pgrep -P "$supervisor" -x portunus | head -n1)
kill -KILL "$supervisor"
held "is restarted after its supervisor was killed" until_held 60 restarts_are 1
held "answers again" until_held 60 answers
held "nothing is left of the former proxy" not test -d "/proc/$proxy"
kill -STOP "$(of_unit MainPID)"
held "is restarted when its supervisor stands still" until_held 120 restarts_are 2
held "answers again" until_held 60 answers
held "stops" systemctl stop portunus
held "nothing is left" not pgrep -f 'portunus|http.server'

echo "#### the socket"
held "is opened" systemctl start portunus.socket
held "portunus takes it" systemctl start portunus
held "answers" until_held 60 answers
lost=0 asked=0
systemctl restart --no-block portunus
for ((i = 0; i < 10; ++i)); do
  asked=$((asked + 1))
  curl -s -m 60 -o /dev/null http://127.0.0.1/ || lost=$((lost + 1))
done
held "nobody is refused over a restart of the whole ($asked asked, $lost lost)" test "$lost" = 0
systemctl stop portunus.socket portunus

echo "#### limits"
group=/sys/fs/cgroup/system.slice/limits.service
replica_is() { portunus services -c /etc/portunus/limits.yaml | grep -E "^$1 .*$2"; }
cpu_used() { awk '/usage_usec/ { print $2 }' "$group/portunus-busy-0/cpu.stat"; }
held "starts with a group of its own" systemd-run --unit=limits -p Delegate=yes /usr/local/bin/portunus run -c /etc/portunus/limits.yaml
held "who takes more memory is ended, with the reason" until_held 120 replica_is leak oom
held "memory of another one" until_held 60 grep -qx 33554432 "$group/portunus-quiet-0/memory.max"
held "its CPU" grep -qx "150000 100000" "$group/portunus-quiet-0/cpu.max"
begin=$(cpu_used)
sleep 10 # what is measured is what happens in a time
used=$((($(cpu_used) - begin) / 100000))
held "a fifth of a CPU is not exceeded: $used %" test "$used" -gt 5 -a "$used" -lt 25
held "stops" systemctl stop limits
held "nothing is left" not test -e "$group"

echo "#### $failed failed"
systemctl poweroff -f
