/*
 * What Windows 10's ntddk.h declares and mingw-w64's does not, as far as this project uses it.
 * Included after ntifs.h and ntddk.h.
 */
#ifndef WSKRDMA_SUPPLEMENT_H
#define WSKRDMA_SUPPLEMENT_H

typedef ULONG64 POOL_FLAGS;

NTKERNELAPI PVOID NTAPI ExAllocatePool2(POOL_FLAGS Flags, SIZE_T NumberOfBytes, ULONG Tag);
NTKERNELAPI VOID NTAPI ExFreePool2(PVOID P, ULONG Tag, PVOID ExtendedParameters, ULONG ExtendedParametersCount);

#endif
