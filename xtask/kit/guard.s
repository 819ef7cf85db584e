# BufferOverflowFastFailK.lib for builds without a WDK: what control flow guard needs of an image.
#
# The compiler calls through __guard_dispatch_icall_fptr with the target in rax. A kernel with kernel CFG replaces both
# pointers when it loads the image, so they lie in read-only data; elsewhere they stay as they are and check nothing.
# __guard_fids_table, __guard_fids_count and __guard_flags are the linker's. Offsets: IMAGE_LOAD_CONFIG_DIRECTORY64.

        .text
        .def __guard_check_icall_nop; .scl 3; .type 32; .endef
__guard_check_icall_nop:
        ret

        .def __guard_dispatch_icall_nop; .scl 3; .type 32; .endef
__guard_dispatch_icall_nop:
        jmpq *%rax

        .data
        .globl __security_cookie
        .balign 8
__security_cookie:                              # Microsoft's default, which tells the loader to choose one.
        .quad 0x00002B992DDFA232

        .section .rdata,"dr"
        .globl __guard_check_icall_fptr
        .globl __guard_dispatch_icall_fptr
        .balign 8
__guard_check_icall_fptr:
        .quad __guard_check_icall_nop
__guard_dispatch_icall_fptr:
        .quad __guard_dispatch_icall_nop

        .globl _load_config_used
        .balign 8
_load_config_used:
        .long 0x140                             # 0x000 Size
        .zero 0x54
        .quad __security_cookie                 # 0x058 SecurityCookie
        .zero 0x10
        .quad __guard_check_icall_fptr          # 0x070 GuardCFCheckFunctionPointer
        .quad __guard_dispatch_icall_fptr       # 0x078 GuardCFDispatchFunctionPointer
        .quad __guard_fids_table                # 0x080 GuardCFFunctionTable
        .quad __guard_fids_count                # 0x088 GuardCFFunctionCount
        .long __guard_flags                     # 0x090 GuardFlags
        .zero 0xAC
