/*
 * wskrdma.h - the client side of wskrdma.lib
 *
 * A WSK client needs no change in its code: it includes wsk.h as before and links wskrdma.lib in front of netio.lib.
 * The library then defines
 *
 *     WskRegister  WskDeregister  WskCaptureProviderNPI  WskReleaseProviderNPI  WskQueryProviderCharacteristics
 *
 * with the signatures, IRQLs and results of wsk.h. Each WskRegister chooses the provider of its registration: the
 * driver wskrdma.sys where it is running, else the system's. All later calls go to that provider directly.
 *
 * This header is optional. It makes the link fail where the library is missing from the link line, or where it stands
 * behind netio.lib and the linker has taken the functions from there. Either would otherwise go unnoticed: the client
 * would just talk to the system's provider.
 *
 * WskRegister opens the driver's device and waits for its answer: PASSIVE_LEVEL, as documented. Under Wine it must not
 * be called in a dispatch routine, because one thread runs all of those. A client that starts with the system and wants
 * the driver to be there names it in its service's dependencies.
 */
#ifndef WSKRDMA_H
#define WSKRDMA_H

#include <wsk.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Defined by wskrdma.lib only: the number of the library's interface. */
extern const ULONG WskrdmaLibrary;

/*
 * Additions to WSK, of this provider only.
 *
 * SIO_WSKRDMA_QUERY_PATH: WskControlSocket(Socket, WskIoctl, SIO_WSKRDMA_QUERY_PATH, 0, 0, NULL, sizeof(path), &path,
 * &size, Irp or NULL), on any stream socket in any state, IRQL <= DISPATCH_LEVEL. Tells which way the octets go, and why.
 * Another provider answers it with a failure. Later versions add members at the end and count them in Size.
 */
#define SIO_WSKRDMA_QUERY_PATH 0x5D720001

#define WSKRDMA_PATH_NONE 0 /* not decided yet */
#define WSKRDMA_PATH_RDMA 1
#define WSKRDMA_PATH_TCP 2

#define WSKRDMA_NO_ADAPTER 0xFFFFFFFF

typedef struct _WSKRDMA_PATH {
    ULONG Size;       /* bytes of this structure */
    ULONG Path;       /* WSKRDMA_PATH_* */
    ULONG Reason;     /* number of the reason; numbers never change their meaning */
    ULONG Adapter;    /* number of the adapter in the driver's status, or WSKRDMA_NO_ADAPTER */
    ULONG Technology; /* NDK_RDMA_TECHNOLOGY of the adapter, 0 without one */
} WSKRDMA_PATH, *PWSKRDMA_PATH;

/*
 * Interface index of the software adapter for WskOpenNdkAdapter (wskndk.h) of this provider. Adapters of other interfaces
 * are opened through the system's provider.
 */
#define WSKRDMA_SOFTWARE_INTERFACE 0xFF000001

#if defined(_MSC_VER)
#if defined(_M_IX86)
#error "wskrdma.lib is a 64-bit library"
#endif
#pragma comment(linker, "/include:WskrdmaLibrary")
#elif defined(__GNUC__)
static const ULONG *const WskrdmaLibraryReference __attribute__((used)) = &WskrdmaLibrary;
#endif

/*
 * {841045EB-9465-45D4-A37E-2172AA9BE005}: the module identifier under which wskrdma.sys is a provider of
 * NPI_WSK_INTERFACE_ID, for clients that register with the Network Module Registrar themselves. Such a client compares it
 * with ProviderRegistrationInstance->ModuleId->Guid in its attach callback. Use: GUID Id = WSKRDMA_NMR_MODULE_GUID;
 */
#define WSKRDMA_NMR_MODULE_GUID \
    { 0x841045EB, 0x9465, 0x45D4, { 0xA3, 0x7E, 0x21, 0x72, 0xAA, 0x9B, 0xE0, 0x05 } }

#ifdef __cplusplus
}
#endif

#endif
