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

#if defined(_MSC_VER)
#if defined(_M_IX86)
#error "wskrdma.lib is a 64-bit library"
#endif
#pragma comment(linker, "/include:WskrdmaLibrary")
#elif defined(__GNUC__)
static const ULONG *const WskrdmaLibraryReference __attribute__((used)) = &WskrdmaLibrary;
#endif

#ifdef __cplusplus
}
#endif

#endif
