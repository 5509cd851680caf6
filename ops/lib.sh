# Shared by the scripts of this folder. To be sourced.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"

say() { printf '\n\033[1m== %s\033[0m\n' "$*"; }
die() { printf 'FAILED: %s\n' "$*" >&2; exit 1; }

# The engine to use: kvm, or inprocess where KVM cannot be used, said on the console.
choose_engine() {
  if [ -n "${NUB_ENGINE:-}" ]; then engine=$NUB_ENGINE
  elif [ -r /dev/kvm ] && [ -w /dev/kvm ]; then engine=kvm
  else engine=inprocess
  fi
  if [ "$engine" = kvm ]; then
    echo "engine: kvm (/dev/kvm is usable)"
  else
    echo "engine: inprocess, WITHOUT ISOLATION: /dev/kvm is missing or not permitted; tests that need KVM are skipped"
  fi
}
