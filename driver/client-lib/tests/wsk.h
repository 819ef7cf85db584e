/*
 * wsk.h - the part of Microsoft's header that the tests use, for compilers that come without it.
 *
 * CLIENT_DLLIMPORT declares the registration functions as a client does that wants no jump in between.
 */
#ifndef WSK_H_FOR_TESTS
#define WSK_H_FOR_TESTS

#include <ntddk.h>

#ifdef CLIENT_DLLIMPORT
#define WSK_IMPORT __declspec(dllimport)
#else
#define WSK_IMPORT
#endif

#define MAKE_WSK_VERSION(Mj, Mn) ((USHORT)((Mj) << 8) | (USHORT)((Mn) & 0xff))
#define WSK_NO_WAIT 0
#define WSK_INFINITE_WAIT 0xffffffff
#define WSK_FLAG_CONNECTION_SOCKET 0x00000002

typedef PVOID PWSK_CLIENT;

typedef struct _WSK_SOCKET {
    const VOID *Dispatch;
} WSK_SOCKET, *PWSK_SOCKET;

typedef struct _WSK_CLIENT_DISPATCH {
    USHORT Version;
    USHORT Reserved;
    PVOID WskClientEvent;
} WSK_CLIENT_DISPATCH;

typedef struct _WSK_CLIENT_NPI {
    PVOID ClientContext;
    const WSK_CLIENT_DISPATCH *Dispatch;
} WSK_CLIENT_NPI, *PWSK_CLIENT_NPI;

typedef NTSTATUS(NTAPI *PFN_WSK_SOCKET)(PWSK_CLIENT Client, USHORT AddressFamily, USHORT SocketType, ULONG Protocol,
                                        ULONG Flags, PVOID SocketContext, const VOID *Dispatch, PVOID OwningProcess,
                                        PVOID OwningThread, PVOID SecurityDescriptor, PIRP Irp);
typedef NTSTATUS(NTAPI *PFN_WSK_CLOSE_SOCKET)(PWSK_SOCKET Socket, PIRP Irp);

typedef struct _WSK_PROVIDER_DISPATCH {
    USHORT Version;
    USHORT Reserved;
    PFN_WSK_SOCKET WskSocket;
    PVOID WskSocketConnect;
    PVOID WskControlClient;
    PVOID WskGetAddressInfo;
    PVOID WskFreeAddressInfo;
    PVOID WskGetNameInfo;
} WSK_PROVIDER_DISPATCH;

typedef struct _WSK_PROVIDER_BASIC_DISPATCH {
    PVOID WskControlSocket;
    PFN_WSK_CLOSE_SOCKET WskCloseSocket;
} WSK_PROVIDER_BASIC_DISPATCH;

typedef struct _WSK_PROVIDER_NPI {
    PWSK_CLIENT Client;
    const WSK_PROVIDER_DISPATCH *Dispatch;
} WSK_PROVIDER_NPI, *PWSK_PROVIDER_NPI;

typedef struct _WSK_REGISTRATION {
    ULONGLONG ReservedRegistrationState;
    PVOID ReservedRegistrationContext;
    KSPIN_LOCK ReservedRegistrationLock;
} WSK_REGISTRATION, *PWSK_REGISTRATION;

typedef struct _WSK_PROVIDER_CHARACTERISTICS {
    USHORT HighestVersion;
    USHORT LowestVersion;
} WSK_PROVIDER_CHARACTERISTICS, *PWSK_PROVIDER_CHARACTERISTICS;

WSK_IMPORT NTSTATUS NTAPI WskRegister(PWSK_CLIENT_NPI WskClientNpi, PWSK_REGISTRATION WskRegistration);
WSK_IMPORT VOID NTAPI WskDeregister(PWSK_REGISTRATION WskRegistration);
WSK_IMPORT NTSTATUS NTAPI WskCaptureProviderNPI(PWSK_REGISTRATION WskRegistration, ULONG WaitTimeout,
                                                PWSK_PROVIDER_NPI WskProviderNpi);
WSK_IMPORT VOID NTAPI WskReleaseProviderNPI(PWSK_REGISTRATION WskRegistration);
WSK_IMPORT NTSTATUS NTAPI WskQueryProviderCharacteristics(PWSK_REGISTRATION WskRegistration,
                                                          PWSK_PROVIDER_CHARACTERISTICS WskProviderCharacteristics);

/* One of the many other functions of netio.sys that clients call. */
NTSTATUS NTAPI NmrRegisterClient(PVOID ClientCharacteristics, PVOID ClientContext, PHANDLE NmrClientHandle);

#endif
