# Make the file system of a flash file and copy a folder of the host into it. Run once per
# firmware, without a board; argv: flash file, its vfs partition (address, size), the folder.
import usys
import vfs

_path, _address, _size, _folder = usys.argv[1:]
_BLOCK = 4096


class Flash:
    """The vfs partition, written without an account of it."""

    def __init__(self):
        self._file = open(_path, "r+b")
        self._address = int(_address)

    def readblocks(self, block, buf, offset=0):
        self._file.seek(self._address + block * _BLOCK + offset)
        self._file.readinto(buf)

    def writeblocks(self, block, buf, offset=0):
        self._file.seek(self._address + block * _BLOCK + offset)
        self._file.write(buf)

    def ioctl(self, cmd, arg):
        if cmd == 4:
            return int(_size) // _BLOCK
        if cmd == 5:
            return _BLOCK
        if cmd == 6:
            self.writeblocks(arg, b"\xff" * _BLOCK)
        return 0


def copy(source, target):
    import uos

    for entry in uos.ilistdir(source):
        name = entry[0]
        if name in (".", ".."):
            continue
        if entry[1] == 0x4000:
            uos.mkdir(target + "/" + name)
            copy(source + "/" + name, target + "/" + name)
        else:
            with open(source + "/" + name, "rb") as file, open(target + "/" + name, "wb") as out:
                out.write(file.read())


flash = Flash()
vfs.VfsLfs2.mkfs(flash)
vfs.mount(vfs.VfsLfs2(flash, readsize=32, progsize=32, lookahead=32), "/flash")
copy(_folder, "/flash")
vfs.umount("/flash")
