# DXC's library: driven as script.rs says, with the compiler's arguments and the library before the file of texts.
import ctypes
import json
import os
import sys
import uuid

# Tables of COM methods begin with QueryInterface, AddRef and Release. Until release 1.7.2212 DXC's stand-in for IUnknown outside of Windows had a
# virtual destructor behind these three, which takes two places; the library that --install fetches is of that kind.
FIRST = 3 if os.name == "nt" else 5
FUNCTION = ctypes.WINFUNCTYPE if os.name == "nt" else ctypes.CFUNCTYPE
UTF8 = 65001


class Buffer(ctypes.Structure):
    _fields_ = [("text", ctypes.c_char_p), ("size", ctypes.c_size_t), ("encoding", ctypes.c_uint32)]


def guid(text):
    return ctypes.create_string_buffer(uuid.UUID(text).bytes_le, 16)


def call(this, place, result, *arguments):
    table = ctypes.cast(this, ctypes.POINTER(ctypes.POINTER(ctypes.c_void_p))).contents
    types = [ctypes.c_void_p] + [type(argument) for argument in arguments]
    return FUNCTION(result, *types)(table[place])(this, *arguments)


def check(code, what):
    if code != 0:
        sys.exit(f"DXC: {what} failed with {code & 0xFFFFFFFF:#010x}")


def release(this):
    call(this, 2, ctypes.c_uint32)


def pointer(value):
    return ctypes.cast(value, ctypes.c_void_p)


def compiler(library):
    made = ctypes.c_void_p()
    # CLSID_DxcCompiler, IDxcCompiler3
    ids = [guid("73e22d93-e6ce-47f3-b5bf-f0664f39c1b0"), guid("228b4687-5a6a-4730-900c-9702b2203f54")]
    create = library.DxcCreateInstance
    create.argtypes, create.restype = [ctypes.c_void_p] * 3, ctypes.c_int32
    check(create(*map(pointer, ids), ctypes.addressof(made)), "DxcCreateInstance")
    return made


def compile(this, text, arguments):
    """Whether the text is refused, and what is said about it."""
    text = text.encode()
    source = Buffer(text, len(text), UTF8)
    words = (ctypes.c_wchar_p * len(arguments))(*arguments)
    result, status, errors = ctypes.c_void_p(), ctypes.c_int32(), ctypes.c_void_p()
    iid = guid("58346cda-dde7-4497-9461-6f87af5e0659")  # IDxcResult
    code = call(this, FIRST, ctypes.c_int32, pointer(ctypes.byref(source)), pointer(words),
                ctypes.c_uint32(len(arguments)), ctypes.c_void_p(), pointer(iid), pointer(ctypes.byref(result)))
    check(code, "Compile")
    check(call(result, FIRST, ctypes.c_int32, pointer(ctypes.byref(status))), "GetStatus")
    check(call(result, FIRST + 2, ctypes.c_int32, pointer(ctypes.byref(errors))), "GetErrorBuffer")
    message = ""
    if errors:
        start, size = call(errors, FIRST, ctypes.c_void_p), call(errors, FIRST + 1, ctypes.c_size_t)
        message = ctypes.string_at(start, size).rstrip(b"\0").decode(errors="replace") if size else ""
        release(errors)
    release(result)
    return status.value != 0, message


def main():
    arguments, library, file = sys.argv[-3:]
    say = lambda *words: print(json.dumps(words), flush=True)
    this = compiler(ctypes.CDLL(library))
    with open(file, encoding="utf-8") as texts:
        texts = json.load(texts)
    for name, text in texts:
        say("begin", name)
        refused, message = compile(this, text, arguments.split())
        # Signing is for release; it is no matter of the text.
        lines = [line for line in message.splitlines() if line.strip() and "will not be signed" not in line]
        if refused or lines:
            say("refused" if refused else "warned", name, "\n".join(lines) or "without a word")
    say("end")


main()
