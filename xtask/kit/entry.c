/*
 * WdfDriverEntry.lib for builds without a WDK: the image's entry point, and the variables that the framework fills.
 *
 * Microsoft's library of that name is not published. The steps are those on which the framework's side of the
 * contract (fxldr.h, wdfglobals.h, fxdriverapi.cpp in microsoft/Windows-Driver-Frameworks) leaves no choice.
 * Nothing here is compiled with stack cookies, so there is no cookie to initialise.
 */

/* mingw-w64 defines these two in every object that includes its header; under other names they cannot clash. */
#define InterlockedBitTestAndSet WdfEntryBitTestAndSet
#define InterlockedBitTestAndReset WdfEntryBitTestAndReset

#include <ntddk.h>
#include <wdf.h>

/* fxldr.h */

typedef struct _WDF_VERSION {
    ULONG Major;
    ULONG Minor;
    ULONG Build;
} WDF_VERSION;

typedef struct _WDF_BIND_INFO {
    ULONG Size;
    PCWSTR Component;
    WDF_VERSION Version;
    ULONG FuncCount;
    const WDFFUNC **FuncTable;
    PVOID Module;
} WDF_BIND_INFO;

/* The pointers let the loader bind a library older than the headers and report what it really has. */
typedef struct _WDF_BIND_INFO2 {
    WDF_BIND_INFO Base;
    ULONG *MinimumVersionRequired;
    BOOLEAN *ClientVersionHigherThanFramework;
    ULONG *FuncCountPtr;
    ULONG *StructCountPtr;
    size_t **StructTable;
} WDF_BIND_INFO2;

_Static_assert(sizeof(WDF_BIND_INFO) == 48, "WDF_BIND_INFO");
_Static_assert(sizeof(WDF_BIND_INFO2) == 88, "WDF_BIND_INFO2");
_Static_assert(sizeof(WDF_DRIVER_GLOBALS) == 56, "WDF_DRIVER_GLOBALS");
_Static_assert(sizeof(WDF_OBJECT_CONTEXT_TYPE_INFO) == 40, "WDF_OBJECT_CONTEXT_TYPE_INFO");

NTSTATUS NTAPI WdfVersionBind(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath, WDF_BIND_INFO *BindInfo,
    PWDF_DRIVER_GLOBALS *Globals);
NTSTATUS NTAPI WdfVersionUnbind(PUNICODE_STRING RegistryPath, WDF_BIND_INFO *BindInfo, PWDF_DRIVER_GLOBALS Globals);

/* Declared by wdf.h. */

const WDFFUNC *WdfFunctions;
PWDF_DRIVER_GLOBALS WdfDriverGlobals;
ULONG WdfFunctionCount = WdfFunctionTableNumEntries;
ULONG WdfStructureCount;
BOOLEAN WdfClientVersionHigherThanFramework;
size_t *WdfStructures;

static WDF_BIND_INFO2 BindInfo = {
    .Base = {
        .Size = sizeof(WDF_BIND_INFO2),
        .Component = L"KmdfLibrary",
        .Version = { KMDF_VERSION_MAJOR, KMDF_VERSION_MINOR, 0 },
        .FuncCount = WdfFunctionTableNumEntries,
        .FuncTable = &WdfFunctions,
    },
    .MinimumVersionRequired = &WdfMinimumVersionRequired,
    .ClientVersionHigherThanFramework = &WdfClientVersionHigherThanFramework,
    .FuncCountPtr = &WdfFunctionCount,
    .StructCountPtr = &WdfStructureCount,
    .StructTable = &WdfStructures,
};

/* Context types of the driver stand between these two: the linker sorts by what follows the dollar sign. */
__attribute__((section(".kmdftypeinit$a"), aligned(8))) static ULONG64 TypesBegin[1];
__attribute__((section(".kmdftypeinit$c"), aligned(8))) static ULONG64 TypesEnd[1];

/* A service name has at most 256 characters; the fixed part of the path has 52. */
static WCHAR RegistryPathBuffer[320];
static UNICODE_STRING RegistryPathCopy = { 0, sizeof(RegistryPathBuffer), RegistryPathBuffer };

static PDRIVER_UNLOAD DisplacedUnload;

DRIVER_INITIALIZE DriverEntry;
DRIVER_INITIALIZE FxDriverEntry;

static VOID ResolveContextTypes(VOID)
{
    ULONG64 *word = TypesBegin + 1;
    ULONG64 *end = TypesEnd;
    /* The compiler must not reason about where these pointers may lead: it sees two arrays of one element. */
    __asm__("" : "+r"(word), "+r"(end));
    while (word < end) {
        WDF_OBJECT_CONTEXT_TYPE_INFO *type = (WDF_OBJECT_CONTEXT_TYPE_INFO *)word;
        /* The linker may leave zeros between two objects. */
        if (type->Size != sizeof(*type)) {
            word += 1;
            continue;
        }
        if (type->EvtDriverGetUniqueContextType != NULL) {
            type->UniqueType = type->EvtDriverGetUniqueContextType();
        }
        word += sizeof(*type) / sizeof(*word);
    }
}

static VOID Unbind(VOID)
{
    WdfVersionUnbind(&RegistryPathCopy, &BindInfo.Base, WdfDriverGlobals);
}

/* Runs the framework's unload routine (EvtDriverUnload, deletion of the driver's objects), and only then unbinds. */
static VOID NTAPI UnloadAndUnbind(PDRIVER_OBJECT DriverObject)
{
    if (DisplacedUnload != NULL) {
        DisplacedUnload(DriverObject);
    }
    Unbind();
}

NTSTATUS NTAPI FxDriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    NTSTATUS status;

    /* A driver that another one loads as a library has no driver object to bind. */
    if (DriverObject == NULL) {
        return DriverEntry(NULL, RegistryPath);
    }

    /* The caller's string is gone by the time of the unbinding. */
    if (RegistryPath->Length > sizeof(RegistryPathBuffer)) {
        return STATUS_NAME_TOO_LONG;
    }
    RtlCopyUnicodeString(&RegistryPathCopy, RegistryPath);

    status = WdfVersionBind(DriverObject, &RegistryPathCopy, &BindInfo.Base, &WdfDriverGlobals);
    if (!NT_SUCCESS(status)) {
        return status;
    }

    ResolveContextTypes();

    status = DriverEntry(DriverObject, RegistryPath);
    if (!NT_SUCCESS(status)) {
        Unbind();
        return status;
    }

    if (WdfDriverGlobals->DisplaceDriverUnload) {
        DisplacedUnload = DriverObject->DriverUnload;
        DriverObject->DriverUnload = UnloadAndUnbind;
    }
    return status;
}
