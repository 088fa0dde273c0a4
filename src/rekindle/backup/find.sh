# Prints what lies on a volume's device: the device itself, its partitions, what is built on them, and each one's mounts
# in the namespace of the host's first process. Only lines with this mark are facts; a login shell may print before them.
mark=rekindle-volume
echo

below() ( # below VOLUME SYSFS_FOLDER
  number=$(cat "$2/dev") || exit 0
  is_leaf=yes
  for upper in "$2"/*/partition "$2"/holders/*; do
    [ -e "$upper" ] || continue
    is_leaf=no
    below "$1" "${upper%/partition}"
  done
  [ $is_leaf = no ] || echo "$mark $1 leaf $number"
  awk -v says="$mark $1 mount" -v number="$number" '$3 == number { print says, $3, $4, $5 }' /proc/1/mountinfo
)

look() { # look VOLUME SERIAL DEVICE: on Nitro the link carries the volume id, else the attachment names the device,
         # which Xen's own driver calls xvd where EC2 says sd
  for device in /dev/disk/by-id/*"$2" "$3" "/dev/xvd${3#/dev/sd}"; do
    [ -b "$device" ] || continue
    below "$1" "/sys/dev/block/$(printf '%d:%d' "0x$(stat -Lc %t "$device")" "0x$(stat -Lc %T "$device")")"
    break
  done
}
