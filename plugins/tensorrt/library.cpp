// What the library exports. TensorRT's registry calls the two functions when it loads it.
#include <NvInferRuntime.h>
#include <cuda_runtime_api.h>

#include "log.h"
#include "op_plugin.h"
#include "ops.h"

namespace {

vpp::OpCreator<vpp::SelectTokens> select_tokens;
vpp::OpCreator<vpp::GatherTokens> gather_tokens;
vpp::OpCreator<vpp::ScatterTokens> scatter_tokens;
vpp::OpCreator<vpp::AssociateTokens> associate_tokens;
nvinfer1::IPluginCreatorInterface* const creators[] = {&select_tokens, &gather_tokens, &scatter_tokens,
                                                       &associate_tokens};

}  // namespace

// A program that does not want to load a library of another version finds this in the file:
// "vpp_plugins_version=0.2.0".
extern "C" const char vpp_plugins_version[];
const char vpp_plugins_version[] = "vpp_plugins_version=" VPP_DEPLOY_VERSION;

// And this, where the driver may be older than the CUDA that the library was made with: "vpp_plugins_cuda=13000".
#define VPP_TEXT(number) VPP_TEXT_OF(number)
#define VPP_TEXT_OF(number) #number
extern "C" const char vpp_plugins_cuda[];
const char vpp_plugins_cuda[] = "vpp_plugins_cuda=" VPP_TEXT(CUDART_VERSION);

extern "C" nvinfer1::IPluginCreatorInterface* const* getCreators(int32_t& count) {
    count = static_cast<int32_t>(sizeof creators / sizeof creators[0]);
    return creators;
}

extern "C" void setLoggerFinder(nvinfer1::ILoggerFinder* finder) {
    vpp::set_logger_finder(finder);
}
