#!/bin/sh
# debian.sh PACKAGE PROGRAM prints the path of a program. It prefers an installed one.
# Otherwise it unpacks Debian's or Ubuntu's package into a cache folder, with the
# libraries that the machine lacks. It installs nothing, because the package chrony
# would replace the machine's time service.
set -eu
package=$1 program=$2

PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
if command -v "$program"; then
	exit
fi
fail() {
	echo "$program: not found, and $1; install it, or put it on the PATH" >&2
	exit 1
}
command -v apt-get >/dev/null || fail "there is no apt-get to fetch it with"

cache=${XDG_CACHE_HOME:-$HOME/.cache}/chrony-tracker/debian
root=$cache/$package
mkdir -p "$cache/lists/partial" "$cache/archives/partial" "$cache/bin"
exec 9>"$cache/lock"
flock 9 # tests of several packages can run at the same time

if [ -x "$cache/bin/$program" ]; then
	echo "$cache/bin/$program"
	exit
fi

# Separate lists and archives, so that this needs no permission for the machine's own.
options="-qq -o Dir::State::lists=$cache/lists -o Dir::Cache=$cache -o APT::Sandbox::User=$(id -un)"

# unpack PACKAGE... adds the packages' files to the root.
unpack() {
	(cd "$cache/archives" && apt-get $options download "$@") >&2 || fail "apt-get could not fetch $*"
	for file in "$cache"/archives/*.deb; do
		dpkg -x "$file" "$root"
		rm "$file"
	done
}

if [ ! -d "$root" ]; then
	apt-get $options update >&2 || fail "apt-get could not fetch the list of packages"
	unpack "$package"
fi
binary=$(find "$root" -type f -path "*bin/$program")
[ -n "$binary" ] || fail "it is not in the package $package"

if ldd "$binary" 2>/dev/null | grep -q 'not found'; then
	# All libraries that the package may need, except for the C library.
	unpack $(apt-cache $options depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks \
		--no-replaces --no-enhances "$package" | grep '^lib' | grep -vE '^lib(c6|c-bin|crypt1|gcc-s1|stdc\+\+6)$' | sort -u)
fi
libraries=$(find "$root" -name '*.so.*' -exec dirname {} + | sort -u | paste -sd: -)

cat >"$cache/bin/$program.new" <<EOF
#!/bin/sh
${libraries:+LD_LIBRARY_PATH='$libraries' }exec '$binary' "\$@"
EOF
chmod +x "$cache/bin/$program.new"
mv "$cache/bin/$program.new" "$cache/bin/$program"
echo "$cache/bin/$program"
